/** What happens, as it happens: one stream of events for the page, over fetch so that it carries the key. */
import type { ConsoleLiveRequests, ConsoleRequestRow, ConsoleTiers } from "#shared/contracts/console.ts";

import { backOffMs, makeEventReader, type ServerEvent } from "../pure/eventStream.ts";
import { askForKey, authorization, onKey, refresh } from "./api.ts";
import { makeStore, useStore } from "./store.ts";

export type LiveState = { readonly kind: "connecting" | "live" } | { readonly kind: "waiting"; readonly retryInMs: number };
interface Live {
  readonly state: LiveState;
  /** The latest first. */
  readonly requests: readonly ConsoleRequestRow[];
  readonly tiers: ConsoleTiers | null;
}

const MOST_REQUESTS = 50;
/** Figures are asked for again no more often than this while requests come in, and this often in any case. */
const REFRESH_MS = 5_000;
const REFRESH_ANYWAY_MS = 30_000;

/** The server says something every 15 s: after this long without a word the connection is gone, though nobody was told. */
const SILENCE_MS = 45_000;

const live = makeStore<Live>({ state: { kind: "connecting" }, requests: [], tiers: null });
export const useLive = (): Live => useStore(live);

/** For as long as the page is open. */
export function follow(): void {
  let lastRefreshAt = Date.now();
  let isDue = false;
  setInterval(() => {
    const age = Date.now() - lastRefreshAt;
    if (document.hidden || !(isDue ? age >= REFRESH_MS : age >= REFRESH_ANYWAY_MS)) return;
    lastRefreshAt = Date.now();
    isDue = false;
    refresh();
  }, 1_000);
  const onEvent = ({ event, data }: ServerEvent) => {
    const value: unknown = JSON.parse(data);
    if (event === "tiers") live.set({ ...live.get(), tiers: value as ConsoleTiers });
    if (event !== "requests") return;
    isDue = true;
    live.set({ ...live.get(), requests: [...(value as ConsoleLiveRequests).requests].reverse().concat(live.get().requests).slice(0, MOST_REQUESTS) });
  };
  void keepConnected(onEvent);
}

async function keepConnected(onEvent: (event: ServerEvent) => void): Promise<never> {
  let failures = 0;
  for (;;) {
    const stop = new AbortController();
    const forget = onKey(() => stop.abort());
    const setState = (state: LiveState) => live.set({ ...live.get(), state });
    setState({ kind: "connecting" });
    try {
      const response = await fetch("/console/api/live", { headers: { accept: "text/event-stream", ...authorization() }, signal: stop.signal });
      if (response.status === 401) askForKey();
      if (response.ok && response.body !== null) {
        setState({ kind: "live" });
        failures = 0;
        const read = makeEventReader();
        const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
        const next = async () => {
          const silence = setTimeout(() => stop.abort(), SILENCE_MS);
          return pieces.read().finally(() => clearTimeout(silence));
        };
        for (let piece = await next(); !piece.done; piece = await next()) read(piece.value).forEach(onEvent);
      }
    } catch {
      // the connection ended, or the key is another now: below is the next try
    }
    forget();
    const retryInMs = backOffMs(failures++);
    setState({ kind: "waiting", retryInMs });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, retryInMs);
      const forgetKey = onKey(done);
      function done() {
        clearTimeout(timer);
        forgetKey();
        resolve();
      }
    });
  }
}
