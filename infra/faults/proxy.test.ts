/** The proxy between a real client and a real server: each fault is seen at one of its ends. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { LOOPBACK } from "#infra/embedded/freePort.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type FaultProxy, startFaultProxy } from "./proxy.ts";

let echo: Server;
let proxy: FaultProxy;
let accepted: Socket[];
beforeEach(async () => {
  accepted = [];
  echo = createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => void echo.listen(0, LOOPBACK, resolve));
  proxy = await startFaultProxy({ target: () => (echo.address() as AddressInfo).port, random: seededRandom(1) });
});
afterEach(async () => {
  await proxy.close();
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => echo.close(resolve));
});

interface Client { readonly socket: Socket; readonly chunks: Buffer[]; readonly text: () => string; readonly ended: Promise<string> }
async function dial(): Promise<Client> {
  const socket = connect({ host: LOOPBACK, port: proxy.port });
  const chunks: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => void chunks.push(bytes));
  const ended = new Promise<string>((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => { resolve(error.code ?? "error"); });
    socket.once("end", () => { resolve("end"); });
  });
  await Promise.race([once(socket, "connect"), ended]);
  return { socket, chunks, text: () => Buffer.concat(chunks).toString(), ended };
}
const receives = (client: Client, text: string) => vi.waitFor(() => { expect(client.text()).toBe(text); }, { timeout: 5_000, interval: 5 });

it("passes bytes and both ends of a connection on", async () => {
  const client = await dial();
  client.socket.end("hello");
  await receives(client, "hello");
  expect(await client.ended).toBe("end");
  await vi.waitFor(() => { expect(proxy.connections()).toBe(0); });
});

it("delays by latency and jitter, and keeps the order", async () => {
  proxy.set({ down: { latencyMs: 80, jitterMs: 40 } });
  const client = await dial();
  const from = performance.now();
  for (const word of ["a", "b", "c", "d"]) {
    client.socket.write(word);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await receives(client, "abcd");
  expect(performance.now() - from).toBeGreaterThanOrEqual(79);
});

it("slices, and holds a bandwidth", async () => {
  proxy.set({ up: { sliceBytes: 1, bytesPerSecond: 100 } });
  const client = await dial();
  const from = performance.now();
  client.socket.write("0123456789");
  await receives(client, "0123456789");
  expect(performance.now() - from).toBeGreaterThanOrEqual(90);
});

it("stops reading, and goes on where it stopped", async () => {
  const client = await dial();
  proxy.set({ up: { isStalled: true } });
  client.socket.write("held");
  const other = proxy.connections();
  proxy.set({ up: { isStalled: true }, down: { latencyMs: 1 } });
  client.socket.write(" back");
  expect([other, client.text()]).toEqual([1, ""]);
  proxy.heal();
  await receives(client, "held back");
});

it("flips one byte", async () => {
  proxy.set({ up: { flipByteAt: 1 } });
  const client = await dial();
  client.socket.write(Buffer.from([1, 2, 3]));
  await vi.waitFor(() => { expect([...Buffer.concat(client.chunks)]).toEqual([1, 2 ^ 0xff, 3]); });
});

it("ends a connection in order, or resets it, after so many bytes", async () => {
  proxy.set({ down: { finAfterBytes: 3 } });
  const cut = await dial();
  cut.socket.write("abcdef");
  expect([await cut.ended, cut.text()]).toEqual(["end", "abc"]);
  proxy.set({ down: { rstAfterBytes: 3 } });
  const reset = await dial();
  reset.socket.write("abcdef");
  expect(await reset.ended).toBe("ECONNRESET");
});

it("accepts and leads nowhere; what it took is reset at the end of that", async () => {
  proxy.set({ isBlackHole: true });
  const client = await dial();
  client.socket.write("nobody");
  expect([proxy.connections(), accepted.length]).toEqual([1, 0]);
  proxy.heal();
  expect(await client.ended).toBe("ECONNRESET");
});

it("cuts all connections and new ones until it is healed; or only those of now", async () => {
  const before = await dial();
  proxy.cut();
  expect(await before.ended).toBe("ECONNRESET");
  expect(await (await dial()).ended).toMatch(/ECONNRESET|EPIPE|end/);
  proxy.heal();
  const after = await dial();
  after.socket.write("again");
  await receives(after, "again");
  proxy.resetAll();
  expect(await after.ended).toBe("ECONNRESET");
  const next = await dial();
  next.socket.write("works");
  await receives(next, "works");
});

it("resets its client when nobody is behind it", async () => {
  const dead = await startFaultProxy({ target: () => 1, random: seededRandom(1) });
  const socket = connect({ host: LOOPBACK, port: dead.port });
  const [error] = await once(socket, "error") as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNRESET");
  await dead.close();
});
