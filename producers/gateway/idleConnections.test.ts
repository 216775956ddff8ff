import { createServer, get, type Server } from "node:http";
import { type AddressInfo, connect, Socket } from "node:net";
import { once } from "node:events";

import { afterEach, expect, it, vi } from "vitest";

import { boundConnections, makeIdleConnections } from "./idleConnections.ts";

it("names the one that is idle for longest, from a second on, and none on which something is asked", () => {
  const idle = makeIdleConnections();
  const [first, second, third] = [new Socket(), new Socket(), new Socket()];
  for (const [i, one] of [first, second, third].entries()) idle.began(one, i);
  expect([idle.oldest(999), idle.oldest(1_000) === first]).toEqual([null, true]);
  idle.busy(first);
  expect([idle.oldest(1_000), idle.oldest(1_001) === second]).toEqual([null, true]);
  idle.began(first, 1_000);
  idle.busy(second);
  expect([idle.oldest(1_002) === third, idle.oldest(5_000) === third]).toEqual([true, true]);
  idle.busy(third);
  expect(idle.oldest(2_000)).toBe(first);
});

let server: Server | undefined;
afterEach(() => {
  vi.restoreAllMocks();
  server?.closeAllConnections();
  server?.close();
});

it("serves a good client at the first try while a thousand others hold connections and ask nothing", async () => {
  let passedMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => passedMs);
  server = createServer((_request, reply) => { reply.end("served"); });
  boundConnections(server, 200);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (let i = 0; i < 1_000; i++) {
    passedMs += 100;
    const held = connect(port, "127.0.0.1").on("error", () => undefined);
    await once(held, "connect");
  }
  passedMs += 1_000;
  const served = new Promise<number | undefined>((resolve, reject) => { get({ port, host: "127.0.0.1", agent: false }, ({ statusCode }) => { resolve(statusCode); }).on("error", reject); });
  expect(await served).toBe(200);
  const held = await new Promise<number>((resolve, reject) => { server?.getConnections((error, count) => { if (error === null) resolve(count); else reject(error); }); });
  expect(held).toBeLessThanOrEqual(200);
});
