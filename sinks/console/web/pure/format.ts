/** Counts, shares, times and durations in words. */
const NOT_KNOWN = "–";
const counts = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const formatCount = (count: number | null): string => (count === null ? NOT_KNOWN : counts.format(count));

/** `plural(1, "request")`: `1 request`. */
export const plural = (count: number, noun: string): string => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Of a share in [0, 1]. Never 0 % or 100 % of what is only nearly so. */
export function formatShare(share: number | null): string {
  if (share === null) return NOT_KNOWN;
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  if (percent > 99.9 && percent < 100) return "> 99.9 %";
  return `${percent.toFixed(1).replace(/\.0$/, "")} %`;
}

export const formatConfidence = (confidence: number | null): string => (confidence === null ? NOT_KNOWN : confidence.toFixed(3));

export function formatMs(ms: number | null): string {
  if (ms === null) return NOT_KNOWN;
  if (ms < 10) return `${ms.toFixed(1).replace(/\.0$/, "")} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(ms < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const formats = new Map<string, Intl.DateTimeFormat>();
function inZone(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone} ${JSON.stringify(options)}`;
  const format = formats.get(key) ?? new Intl.DateTimeFormat("sv-SE", { ...options, timeZone: zone });
  formats.set(key, format);
  return format;
}

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" } as const;
const MINUTE = { hour: "2-digit", minute: "2-digit" } as const;

/** `2026-11-29 15:04:05` of the zone. */
export const formatTime = (at: string | number, zone: string): string => inZone(zone, { ...DAY, ...MINUTE, second: "2-digit" }).format(new Date(at));
export const formatDay = (at: string | number, zone: string): string => inZone(zone, DAY).format(new Date(at));
/** `15:04:05`, for what is of today. */
export const formatClock = (at: string | number, zone: string): string => inZone(zone, { ...MINUTE, second: "2-digit" }).format(new Date(at));
/** What a bucket of a chart is called: the shorter its length, the more is said. */
export function formatBucket(at: string, stepS: number, zone: string): string {
  if (stepS < 60) return formatClock(at, zone);
  const minute = formatTime(at, zone).slice(5, 16);
  return stepS >= 86_400 ? minute.slice(0, 5) : stepS >= 3_600 ? minute : minute.slice(6);
}
