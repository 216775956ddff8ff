/** As JSON, with the keys of every object in alphabetical order: one text for what is equal, whoever wrote it. What JSON leaves out is left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return value === undefined ? "null" : JSON.stringify(value);
  const entries = value as Readonly<Record<string, unknown>>;
  let text = "";
  for (const key of Object.keys(entries).sort()) if (entries[key] !== undefined) text += `${JSON.stringify(key)}:${canonicalJson(entries[key])},`;
  return `{${text}}`;
}
