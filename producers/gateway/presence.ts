/**
 * Who still waits for a request at this gateway. One that everybody left is cancelled, once this gateway had it accepted:
 * what another gateway accepted may have a caller there. Said again until there is an outcome: a core message may get lost.
 */
const AGAIN_MS = 250;

interface Waiting {
  callers: number;
  isOurs: boolean;
}
export interface Caller {
  /** By this caller's publish. */
  accepted(): void;
  /** The outcome is there, or nobody can know it. */
  leave(): void;
}
export interface Presence {
  enter(key: string, options: { readonly gone: AbortSignal | undefined; readonly onAbandoned: () => void }): Caller;
}

export function makePresence(): Presence {
  const waiting = new Map<string, Waiting>();
  return {
    enter(key, { gone, onAbandoned }) {
      const one = waiting.get(key) ?? { callers: 0, isOurs: false };
      waiting.set(key, one);
      one.callers += 1;
      const state: { timer?: NodeJS.Timeout; isPresent: boolean } = { isPresent: true };
      const check = () => { if (one.callers === 0 && one.isOurs) onAbandoned(); };
      const absent = () => {
        if (!state.isPresent) return;
        state.isPresent = false;
        one.callers -= 1;
      };
      const onGone = () => {
        absent();
        check();
        state.timer = setInterval(check, AGAIN_MS);
      };
      if (gone?.aborted === true) onGone();
      else gone?.addEventListener("abort", onGone, { once: true });
      return {
        accepted() {
          one.isOurs = true;
          if (!state.isPresent) check();
        },
        leave() {
          gone?.removeEventListener("abort", onGone);
          clearInterval(state.timer);
          absent();
          if (one.callers === 0 && waiting.get(key) === one) waiting.delete(key);
        },
      };
    },
  };
}
