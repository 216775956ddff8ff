/** Progress on standard error: one line per step with its time; on a terminal the running step shows at once. */
import type { Progress } from "#infra/embedded/progress.ts";

export interface Terminal {
  readonly isTTY?: boolean;
  readonly write: (text: string) => unknown;
}

const CLEAR_LINE = "\r\u001b[2K";
/** Where no line can be replaced. */
const NOTE_EVERY_MS = 10_000;

export function terminalProgress(terminal: Terminal, now: () => number = () => performance.now()): Progress {
  const isLive = terminal.isTTY === true;
  let running: string | undefined;
  let toldMs = -Infinity;
  const show = (line: string): void => {
    terminal.write(`${isLive && running !== undefined ? CLEAR_LINE : ""}${line}\n`);
    if (isLive && running !== undefined) terminal.write(running);
  };
  return {
    note: (line) => show(`  . ${line}`),
    tell: (how) => {
      if (isLive && running !== undefined) {
        running = `  ${how}`;
        terminal.write(`${CLEAR_LINE}${running}`);
      } else if (now() - toldMs >= NOTE_EVERY_MS) {
        toldMs = now();
        show(`  . ${how}`);
      }
    },
    step: async (title, run, detail) => {
      const startedMs = now();
      const end = (mark: string, said: string): void => {
        terminal.write(isLive ? CLEAR_LINE : "");
        running = undefined;
        show(`${mark} ${title}${said === "" ? "" : `: ${said}`} (${((now() - startedMs) / 1_000).toFixed(1)} s)`);
      };
      running = `  ${title} ...`;
      if (isLive) terminal.write(running);
      try {
        const result = await run();
        end("  ok", detail?.(result) ?? "");
        return result;
      } catch (err) {
        end("  failed", "");
        throw err;
      }
    },
  };
}
