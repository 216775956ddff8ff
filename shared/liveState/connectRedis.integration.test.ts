import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { signalProcess } from "#infra/embedded/processIdentity.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";

import { connectRedis } from "./connectRedis.ts";

let server: Awaited<ReturnType<typeof startTestServer>>;
beforeAll(async () => { server = await startTestServer("redis"); });
afterAll(async () => { await server.remove(); });
const signal = (name: NodeJS.Signals) => {
  const { process } = server.info();
  if (process === undefined || !signalProcess(process, name)) throw new Error("the server does not run");
};

it("lets go of a server that is there and says nothing, with all that waits for it, and finds it again", async () => {
  const redis = connectRedis(server.url, "test", pino({ level: "silent" }), { meanwhile: "nothing", mostWaitMs: 500, isResent: false });
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 5_000 });
  let breaks = 0;
  redis.on("close", () => { breaks += 1; });
  signal("SIGSTOP");
  try {
    let refused = 0;
    const asking = setInterval(() => { redis.set("k", "x".repeat(1_000)).catch(() => { refused += 1; }); }, 5);
    await vi.waitFor(() => { expect(breaks).toBeGreaterThan(0); }, { timeout: 15_000 });
    await vi.waitFor(() => { expect(redis.status).not.toBe("ready"); }, { timeout: 5_000 });
    const before = refused;
    await vi.waitFor(() => { expect(refused).toBeGreaterThan(before + 10); }, { timeout: 5_000 }); // at once: nothing is queued
    clearInterval(asking);
  } finally {
    signal("SIGCONT");
  }
  await vi.waitFor(async () => { expect(await redis.ping()).toBe("PONG"); }, { timeout: 10_000 });
  redis.disconnect();
});
