/** Whether a process's memory stays the same over a long run. Pure. */
export interface MemorySample {
  /** Bytes of each process, in a quiet time; 0: it did not run. */
  readonly rss: Readonly<Record<string, number>>;
}

/** Beyond it memory grows: ADR 0029. */
const MOST_GROWTH = 1.1;
const PARTS = 3;

export interface MemoryTrend {
  readonly name: string;
  /** Bytes: medians of the first and of the last third of the quiet times. */
  readonly before: number;
  readonly after: number;
}
/**
 * How memory went, for each process. By medians, since some are young, as faults kill them all the time, and a garbage collector takes its time. The very first quiet time is of
 * the warm-up and left out.
 */
export function trendsOf(samples: readonly MemorySample[]): MemoryTrend[] {
  const [, ...warm] = samples;
  const part = Math.floor(warm.length / PARTS);
  if (part === 0) return [];
  return Object.keys(warm[0]?.rss ?? {}).flatMap((name) => {
    const [before, after] = [medianOf(warm.slice(0, part), name), medianOf(warm.slice(-part), name)];
    return before === null || after === null ? [] : [{ name, before, after }];
  });
}
export const isGrowing = ({ before, after }: MemoryTrend): boolean => after > before * MOST_GROWTH;
export function trendText({ name, before, after }: MemoryTrend): string {
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  return `${name}: ${mib(before)} to ${mib(after)} MiB`;
}

function medianOf(samples: readonly MemorySample[], name: string): number | null {
  const bytes = samples.flatMap(({ rss }) => (rss[name] === undefined || rss[name] === 0 ? [] : [rss[name]]));
  return bytes.sort((a, b) => a - b)[bytes.length >> 1] ?? null;
}
