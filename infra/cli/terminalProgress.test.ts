import { expect, it } from "vitest";

import { terminalProgress } from "./terminalProgress.ts";

it("on a terminal what is told replaces what was told before; elsewhere it is a line every ten seconds", async () => {
  const written = async (isTTY: boolean): Promise<string> => {
    let [text, nowMs] = ["", 0];
    const progress = terminalProgress({ isTTY, write: (more) => (text += more) }, () => nowMs);
    await progress.step("requests", () => {
      for (nowMs = 1_000; nowMs <= 12_000; nowMs += 1_000) progress.tell?.(`${nowMs / 1_000} s`);
      return Promise.resolve();
    });
    return text;
  };
  expect(await written(false)).toBe("  . 1 s\n  . 11 s\n  ok requests (13.0 s)\n");
  expect(await written(true)).toMatch(/11 s\r\u001b\[2K {2}12 s\r\u001b\[2K {2}ok requests \(13\.0 s\)\n$/);
});
