/** A view that fills the terminal until somebody leaves it, and leaves the terminal as it was, whatever ends it. */
import type { EventEmitter } from "node:events";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import type { Terminal } from "../screen.ts";

/** The alternate screen, without a cursor. */
const ENTER = "\u001b[?1049h\u001b[?25l", LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H", CLEAR_TO_END_OF_LINE = "\u001b[K", CLEAR_BELOW = "\u001b[J";
const CTRL_C = "\u0003";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface Live {
  /** Reads anew. Never throws. */
  readonly refresh: () => Promise<void>;
  /** What was read last, for the terminal as large as it is now. */
  readonly lines: () => readonly string[];
  readonly everyMs: number;
}

/** Resolves to the exit code: 0 for q, and 128 and its number for a signal. `signals`: of this process. */
export async function runLive(terminal: Terminal, { refresh, lines, everyMs }: Live, signals: Pick<EventEmitter, "on" | "off"> = process): Promise<number> {
  const left = new AbortController();
  let code = 0, isLeft = false;
  const draw = (): void => { if (!isLeft) terminal.write(`${HOME}${lines().map((line) => `${line}${CLEAR_TO_END_OF_LINE}`).join("\r\n")}${CLEAR_BELOW}`); };
  const leave = (): void => {
    if (isLeft) return;
    isLeft = true;
    for (const end of ends) end();
    terminal.write(LEAVE);
  };
  const ends: (() => void)[] = [];
  const listen = (name: string, listener: () => void): void => {
    signals.on(name, listener);
    ends.push(() => void signals.off(name, listener));
  };
  for (const name of SIGNALS) listen(name, () => { code = 128 + constants.signals[name]; left.abort(); });
  listen("exit", leave); // what nobody caught ends the process
  terminal.write(ENTER);
  ends.push(terminal.onResize(draw), terminal.onKey((key) => { if (key === "q" || key === "Q" || key === CTRL_C) left.abort(); }));
  const ended = new Promise<void>((resolve) => { left.signal.addEventListener("abort", () => { resolve(); }, { once: true }); });
  try {
    while (!left.signal.aborted) {
      await Promise.race([refresh(), ended]);
      draw();
      await sleep(everyMs, undefined, { signal: left.signal }).catch(() => undefined);
    }
    return code;
  } finally {
    leave();
  }
}
