import { expect, it } from "vitest";

import { buildRoleServer, listen, makeRegistry } from "./roleServer.ts";

function server(problems: string[] = []) {
  const registry = makeRegistry("router");
  return buildRoleServer(registry, () => problems);
}

it("is alive and ready without problems", async () => {
  const app = server();
  expect((await app.inject("/healthz")).json()).toEqual({ status: "alive", pid: process.pid });
  const ready = await app.inject("/readyz");
  expect([ready.statusCode, ready.json()]).toEqual([200, { status: "ready", problems: [], pid: process.pid }]);
});

it("is alive but not ready with a problem, and names it", async () => {
  const app = server(["NATS is disconnected; reconnecting"]);
  expect((await app.inject("/healthz")).statusCode).toBe(200);
  const ready = await app.inject("/readyz");
  expect([ready.statusCode, ready.json()]).toEqual([503, { status: "not_ready", problems: ["NATS is disconnected; reconnecting"], pid: process.pid }]);
});

it("shows metrics with the role's name, in the text format", async () => {
  const { body, headers } = await server().inject("/metrics");
  expect(headers["content-type"]).toMatch(/^text\/plain/);
  expect(body).toContain('service="router"');
});

it("says which port is taken and which variable changes it", async () => {
  const [first, second] = [server(), server()];
  const port = await listen(first, { host: "127.0.0.1", port: 0, variable: "INFER_ROUTER_PORT" });
  await expect(listen(second, { host: "127.0.0.1", port, variable: "INFER_ROUTER_PORT" })).rejects.toThrow(`port ${port} on 127.0.0.1 is taken: stop what uses it or set INFER_ROUTER_PORT to another port`);
  await Promise.all([first.close(), second.close()]);
});
