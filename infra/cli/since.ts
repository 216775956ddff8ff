const AGE_MS = { d: 86_400_000, h: 3_600_000 };
/** What `--since` takes, an ISO time or an age as `7d` or `12h`, as epoch milliseconds. NaN: neither. */
export function sinceMs(given: string, nowMs: number): number {
  const [, count, unit] = /^(\d{1,5})([dh])$/.exec(given) ?? [];
  return count === undefined ? Date.parse(given) : nowMs - Number(count) * AGE_MS[unit === "d" ? "d" : "h"];
}
