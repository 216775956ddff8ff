/** Whether a process's memory stays the same over a long run. Pure. */
export interface MemorySample {
  /** Bytes of each process, in a quiet time. */
  readonly rss: Readonly<Record<string, number>>;
}

/** Beyond it memory grows: ADR 0029. */
const MOST_GROWTH = 1.1;

/** Processes that had more in the last quiet time than in the first; a sample is of the end of one. The first is after the warm-up, which is left out. */
export function growing(samples: readonly MemorySample[]): string[] {
  const [, first, ...rest] = samples;
  const last = rest.at(-1);
  if (first === undefined || last === undefined) return [];
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  return Object.entries(first.rss).flatMap(([name, before]) => {
    const after = last.rss[name] ?? 0;
    return before > 0 && after > before * MOST_GROWTH ? [`${name}: ${mib(before)} to ${mib(after)} MiB`] : [];
  });
}
