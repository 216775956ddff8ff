/** Gathers what single handlers bring into batches, for sinks: each handler's promise resolves with its item's outcome. */
export interface Batches<T, R> {
  add(item: T): Promise<R>;
  /** Writes what is gathered, at once. */
  flush(): void;
}
interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/** `write` gets at most `size` items, after at most `delayMs`. One write at a time: what comes meanwhile is the next batch. */
export function makeBatches<T, R>(size: number, delayMs: number, write: (items: readonly T[]) => Promise<readonly R[]>): Batches<T, R> {
  let gathered: Waiting<T, R>[] = [];
  let timer: NodeJS.Timeout | null = null;
  let isWriting = false;

  const run = async (batch: readonly Waiting<T, R>[]) => {
    try {
      const results = await write(batch.map(({ item }) => item));
      batch.forEach(({ resolve, reject }, i) => {
        const result = results[i];
        if (result === undefined) reject(new Error("a batch was written with too few results"));
        else resolve(result);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };
  const flush = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (isWriting || gathered.length === 0) return;
    const batch = gathered.slice(0, size);
    gathered = gathered.slice(size);
    isWriting = true;
    void run(batch).finally(() => {
      isWriting = false;
      if (gathered.length >= size) flush();
      else if (gathered.length > 0) timer ??= setTimeout(flush, delayMs);
    });
  };
  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        gathered.push({ item, resolve, reject });
        if (gathered.length >= size) flush();
        else timer ??= setTimeout(flush, delayMs);
      }),
    flush,
  };
}
