import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";

let gateway: TestGateway;
beforeAll(async () => { gateway = await startTestGateway({ INFER_MAX_CONNECTIONS: "2" }); });
afterAll(() => gateway.close());

async function alive(socket: Socket): Promise<string> {
  socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
  const answer = once(socket, "data").then(([bytes]) => String(bytes).slice(0, 12));
  return Promise.race([answer, once(socket, "close").then(() => "closed")]);
}

const open = async () => {
  const { port } = new URL(gateway.url);
  const socket = connect(Number(port), "127.0.0.1").on("error", () => undefined);
  await once(socket, "connect");
  opened.push(socket);
  return socket;
};

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});
async function openAlive(): Promise<Socket> {
  let found: Socket | undefined;
  await expect.poll(async () => alive((found = await open())), { timeout: 10_000 }).toBe("HTTP/1.1 200");
  if (found === undefined) throw new Error("unreachable");
  return found;
}

it("closes a connection beyond the most that it holds, and serves the others and whoever comes after one of them", async () => {
  const [first, second] = [await open(), await open()];
  expect([await alive(first), await alive(second)]).toEqual(["HTTP/1.1 200", "HTTP/1.1 200"]);
  expect(await alive(await open())).toBe("closed");
  first.destroy();
  await expect.poll(async () => alive(await open()), { timeout: 10_000 }).toBe("HTTP/1.1 200");
  expect(await alive(second)).toBe("HTTP/1.1 200");
  second.destroy();
});

it("H-59 closes the one that is idle for longest where somebody comes", async () => {
  const first = await openAlive();
  const closed = once(first, "close");
  await openAlive();
  await openAlive();
  await closed;
});
