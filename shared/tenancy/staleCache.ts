/**
 * What was read from a store that may be away: fresh for a while, then read again beside the callers, and still good when the
 * store does not answer. Bounded: the entry that was not asked for longest goes first.
 */
export interface StaleCacheOptions<V> {
  /** `null`: there is no such thing. Throws when the store does not answer. */
  readonly load: (key: string) => Promise<V | null>;
  /** Until then nobody asks the store. */
  readonly freshMs: number;
  /** From then on a caller waits for the store, but no longer than `patienceMs`. */
  readonly dueMs: number;
  readonly patienceMs: number;
  /** Older than this nothing is served, whatever the store does. */
  readonly mostMs: number;
  readonly maxEntries: number;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}
export interface StaleCache<V> {
  /** Throws what `load` threw when nothing is known. */
  get(key: string): Promise<V | null>;
  readonly size: () => number;
}
interface Entry<V> {
  readonly value: V | null;
  readonly atMs: number;
}

/** After a failure the store is left alone for this long by those who know nothing yet. */
const REST_MS = 1_000;

export function makeStaleCache<V>({ load, freshMs, dueMs, patienceMs, mostMs, maxEntries, now }: StaleCacheOptions<V>): StaleCache<V> {
  // What is not there has a place of its own, so that guesses cannot push out what is.
  const found = new Map<string, Entry<V>>();
  const missing = new Map<string, Entry<V>>();
  const loading = new Map<string, Promise<V | null>>();
  let failure: { readonly error: unknown; readonly atMs: number } | null = null;

  const keep = (key: string, value: V | null) => {
    const [kept, other] = value === null ? [missing, found] : [found, missing];
    other.delete(key);
    kept.delete(key);
    kept.set(key, { value, atMs: now() });
    if (kept.size > maxEntries) for (const oldest of kept.keys()) { kept.delete(oldest); break; }
  };
  const refresh = (key: string): Promise<V | null> => {
    const running = loading.get(key);
    if (running !== undefined) return running;
    const started = load(key).then(
      (value) => { failure = null; keep(key, value); return value; },
      (error: unknown) => { failure = { error, atMs: now() }; throw error; },
    ).finally(() => { loading.delete(key); });
    started.catch(() => undefined); // whoever waits hears of it
    loading.set(key, started);
    return started;
  };
  const isResting = () => failure !== null && now() - failure.atMs < REST_MS;

  return {
    size: () => found.size + missing.size,
    async get(key) {
      const entry = found.get(key) ?? missing.get(key);
      if (entry === undefined) {
        if (isResting()) throw failure?.error;
        return refresh(key);
      }
      const ageMs = now() - entry.atMs;
      if (ageMs < freshMs) return touched(key, entry);
      if (ageMs >= mostMs) return refresh(key);
      if (ageMs < dueMs) {
        void refresh(key);
        return touched(key, entry);
      }
      if (isResting()) return touched(key, entry);
      return withinPatience(refresh(key), patienceMs, () => touched(key, entry));
    },
  };

  function touched(key: string, entry: Entry<V>): V | null {
    if (found.delete(key)) found.set(key, entry); // asked for last
    return entry.value;
  }
}

async function withinPatience<T>(work: Promise<T>, patienceMs: number, otherwise: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => { timer = setTimeout(() => { resolve("late"); }, patienceMs); });
  try {
    const first = await Promise.race([work.then((value) => ({ value })), late]);
    return first === "late" ? otherwise() : first.value;
  } catch {
    return otherwise();
  } finally {
    clearTimeout(timer);
  }
}
