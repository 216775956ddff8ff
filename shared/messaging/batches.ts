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

/** Bounds the memory of one write. An item that is larger alone is a batch of its own. */
export interface ByteCap<T> {
  readonly maxBytes: number;
  readonly bytesOf: (item: T) => number;
}

/** `write` gets at most `size` items within the cap, after at most `delayMs`. One write at a time: what comes meanwhile is the next batch. */
export function makeBatches<T, R>(size: number, delayMs: number, write: (items: readonly T[]) => Promise<readonly R[]>, cap: ByteCap<T> = { maxBytes: Infinity, bytesOf: () => 0 }): Batches<T, R> {
  const gathered: Waiting<T, R>[] = [];
  let gatheredBytes = 0;
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
  const isFull = () => gathered.length >= size || gatheredBytes >= cap.maxBytes;
  const takeBatch = () => {
    let count = 0;
    let bytes = 0;
    for (const { item } of gathered) {
      const more = cap.bytesOf(item);
      if (count === size || (count > 0 && bytes + more > cap.maxBytes)) break;
      count++;
      bytes += more;
    }
    gatheredBytes -= bytes;
    return gathered.splice(0, count);
  };
  const flush = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (isWriting || gathered.length === 0) return;
    const batch = takeBatch();
    isWriting = true;
    void run(batch).finally(() => {
      isWriting = false;
      if (isFull()) flush();
      else if (gathered.length > 0) timer ??= setTimeout(flush, delayMs);
    });
  };
  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        gathered.push({ item, resolve, reject });
        gatheredBytes += cap.bytesOf(item);
        if (isFull()) flush();
        else timer ??= setTimeout(flush, delayMs);
      }),
    flush,
  };
}
