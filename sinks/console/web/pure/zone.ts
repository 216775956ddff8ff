/** Where days and months begin in a time zone, by what the browser knows of it. */

interface Wall {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour?: number;
  readonly minute?: number;
}

export const startOfDay = (at: string | Date, zone: string): Date => {
  const { year, month, day } = wallOf(new Date(at), zone);
  return instantOf({ year, month, day }, zone);
};

export const startOfMonth = (at: string | Date, zone: string): Date => {
  const { year, month } = wallOf(new Date(at), zone);
  return instantOf({ year, month, day: 1 }, zone);
};

/** Of what a field of the type `datetime-local` holds: `2026-11-29T15:04`. `null`: it holds something else. */
export function instantOfLocal(local: string, zone: string): Date | null {
  const [, year, month, day, hour, minute] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)/.exec(local) ?? [];
  if (year === undefined) return null;
  return instantOf({ year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute) }, zone);
}

/** What such a field shows for a moment. */
export function localOf(at: string, zone: string): string {
  const { year, month, day, hour = 0, minute = 0 } = wallOf(new Date(at), zone);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}`;
}

export function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}

function wallOf(at: Date, zone: string): Wall {
  const parts = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric" }).formatToParts(at);
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value ?? "0");
  return { year: part("year"), month: part("month"), day: part("day"), hour: part("hour"), minute: part("minute") };
}

const asIfUtc = ({ year, month, day, hour = 0, minute = 0 }: Wall): number => Date.UTC(year, month - 1, day, hour, minute);

/** The offset is that of the moment itself, which the second look finds where the first was on the other side of a change. */
function instantOf(wall: Wall, zone: string): Date {
  const wanted = asIfUtc(wall);
  let at = wanted;
  for (let look = 0; look < 2; look++) at = wanted - (asIfUtc(wallOf(new Date(at), zone)) - at);
  return new Date(at);
}
