import { spawnSync } from "node:child_process";

import { expect, it } from "vitest";

it("a role that fails while it starts ends, whatever it had begun to repeat", { timeout: 60_000 }, () => {
  const program = `
    import { z } from "zod";
    import { every } from "#shared/runtime/lifecycle.ts";
    import { runRole } from "#shared/runtime/runRole.ts";
    await runRole({ name: "test", config: z.object({}), async start(config, { signal }) {
      every(1_000, signal, () => undefined);
      throw new Error("the port is taken");
    } });`;
  const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], { encoding: "utf8", timeout: 50_000, env: { PATH: process.env["PATH"] } });
  expect(status).toBe(1);
  expect(stdout).toContain("the port is taken");
});
