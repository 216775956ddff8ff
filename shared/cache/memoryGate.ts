/**
 * The cache must never push budgets and limits out of Redis, which refuses writes when it is full: it writes only while
 * half of the memory is free. Looked at again each second, and after each MiB that this process wrote.
 */
const FRESH_MS = 1_000;
const MOST_BYTES_UNSEEN = 1024 ** 2;

/** `info`: Redis's own. `now`: monotonic. Resolves to whether so many bytes may be written; never throws. */
export function makeMemoryGate(info: () => Promise<string>, now: () => number): (bytes: number) => Promise<boolean> {
  let seen: { readonly atMs: number; readonly hasRoom: Promise<boolean> } | null = null;
  let bytesSince = 0;
  return (bytes) => {
    if (seen === null || now() - seen.atMs >= FRESH_MS || bytesSince >= MOST_BYTES_UNSEEN) {
      bytesSince = 0;
      seen = { atMs: now(), hasRoom: info().then(hasRoom, () => false) };
    }
    bytesSince += bytes;
    return seen.hasRoom;
  };
}

/** Pure, of `INFO memory`. Without a limit the machine's memory is one. */
export function hasRoom(memory: string): boolean {
  const valueOf = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(memory)?.[1] ?? Number.NaN);
  return valueOf("used_memory") < 0.5 * (valueOf("maxmemory") || valueOf("total_system_memory"));
}
