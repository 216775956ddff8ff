/** Rows as RFC 4180 has them, with LF. Pure. */
export const csvOf = (head: readonly string[], rows: readonly (readonly (string | number | boolean | null)[])[]): string => [head, ...rows].map((row) => row.map(cellOf).join(",")).join("\n");

/**
 * A text that a spreadsheet would run as a formula begins with an apostrophe: callers choose the ids of users. Numbers stay as they are, also negative
 * ones in digits.
 */
function cellOf(value: string | number | boolean | null): string {
  if (value === null) return "";
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
