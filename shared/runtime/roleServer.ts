import Fastify, { type FastifyInstance } from "fastify";
import { collectDefaultMetrics, Registry } from "prom-client";

import { ERROR_CODES } from "#shared/contracts/errors.ts";

import { isForeignHost } from "./loopback.ts";

/** What keeps a role from working, in words a person can act on; empty when it can. */
export type Problems = () => readonly string[];

/** The default of 10 ms alone takes 0.4 % of a core of an idle process. `nodejs_eventloop_lag_*` count from this. */
const LAG_LOOK_EVERY_MS = 100;

export function makeRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_LOOK_EVERY_MS });
  return registry;
}

/** `/healthz` (alive) and `/readyz` (can do its work). `pid`: whoever started a process sees that it is this one that answers, and no other at its port. */
export function addProbes(app: FastifyInstance, problems: Problems, warnings: Problems = () => []): void {
  app.get("/healthz", () => ({ status: "alive", pid: process.pid }));
  app.get("/readyz", (_request, reply) => {
    const found = problems(), warned = warnings();
    return reply.code(found.length === 0 ? 200 : 503).send({ status: found.length === 0 ? "ready" : "not_ready", problems: found, ...(warned.length === 0 ? {} : { warnings: warned }), pid: process.pid });
  });
}

/** Its probes, and `/metrics`. */
export function addHealthRoutes(app: FastifyInstance, registry: Registry, problems: Problems, warnings?: Problems): void {
  addProbes(app, problems, warnings);
  app.get("/metrics", async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()));
}

/** On a server that listens on loopback only, refuses what was sent to another name: web pages must not read it. */
function refuseForeignHosts(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    if (!isForeignHost(request.hostname, app.server.address())) {
      done();
      return;
    }
    void reply.code(ERROR_CODES.forbidden_host.httpStatus).send({ error: { code: "forbidden_host", message: "this service listens on loopback only and answers only as localhost or a loopback address", retryable: false } });
  });
}

export function buildRoleServer(registry: Registry, problems: Problems, warnings?: Problems): FastifyInstance {
  const app = Fastify({ logger: false, forceCloseConnections: true });
  refuseForeignHosts(app);
  addHealthRoutes(app, registry, problems, warnings);
  return app;
}

/** Listens, or says which variable changes the port. Returns the port. */
export async function listen(app: FastifyInstance, { host, port, variable }: { host: string; port: number; variable: string }): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new Error(`port ${port} on ${host} is taken: stop what uses it or set ${variable} to another port`, { cause: error });
  }
  const address = app.server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
