/**
 * Lines of many batches take turns: so many run at once over all of them, and each batch gets an equal share. A line that waits for a limit or an
 * outage rests and leaves its turn to others; a batch has no more lines under way, resting ones included, than may run at once.
 */
export interface Crew {
  /** Waits for the batch's turn and begins `work`, which handles its own errors. `false`: `stop` aborted before that. */
  readonly begin: (work: Work, stop: AbortSignal) => Promise<boolean>;
  /** Resolves when nothing of the batch is under way any more, or when `end` aborts. */
  readonly done: (end: AbortSignal) => Promise<void>;
}
/** `rest` resolves when `pause` has and it is the line's turn again, or at once when `stop` aborts. */
type Work = (rest: (pause: Promise<void>) => Promise<void>) => Promise<void>;
interface Waiter {
  readonly crew: { readonly running: number };
  readonly mayBegin: () => boolean;
  readonly begin: () => void;
}

/** `most`: lines that may run at once, asked whenever one ends or wants to begin. */
export function makeTurns(most: () => number): () => Crew {
  let running = 0;
  const waiting = new Set<Waiter>();
  /** Of the batch that runs fewest; among equals, who waits longest. */
  const next = () => [...waiting].filter(({ mayBegin }) => mayBegin()).reduce<Waiter | null>((best, one) => (best === null || one.crew.running < best.crew.running ? one : best), null);
  const look = () => {
    for (let one = running < most() ? next() : null; one !== null; one = running < most() ? next() : null) {
      waiting.delete(one);
      one.begin();
    }
  };
  return () => {
    const crew = { running: 0, underWay: 0 };
    let onEnd = (): void => undefined;
    const step = (by: 1 | -1) => {
      running += by;
      crew.running += by;
    };
    /** `begin` is called in the tick in which it is its turn. */
    const atTurn = (begin: () => void, mayBegin: () => boolean, stop: AbortSignal) => new Promise<boolean>((resolve) => {
      const onStop = () => { if (waiting.delete(one)) resolve(false); };
      const one = {
        crew, mayBegin,
        begin() {
          stop.removeEventListener("abort", onStop);
          step(1);
          begin();
          resolve(true);
        },
      };
      stop.addEventListener("abort", onStop, { once: true });
      waiting.add(one);
      if (stop.aborted) onStop();
      else look();
    });
    const run = (work: Work, stop: AbortSignal) => {
      crew.underWay += 1;
      const rest = async (pause: Promise<void>) => {
        step(-1);
        look();
        await pause;
        if (!(await atTurn(() => undefined, () => true, stop))) step(1);
      };
      void work(rest).finally(() => {
        step(-1);
        crew.underWay -= 1;
        onEnd();
        look();
      });
    };
    return {
      begin: (work, stop) => atTurn(() => { run(work, stop); }, () => crew.underWay < most(), stop),
      async done(end) {
        const onAbort = () => { onEnd(); };
        end.addEventListener("abort", onAbort, { once: true });
        while (crew.underWay > 0 && !end.aborted) await new Promise<void>((resolve) => { onEnd = resolve; });
        end.removeEventListener("abort", onAbort);
      },
    };
  };
}
