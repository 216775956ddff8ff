/** The console's API: what `shared/contracts/console.ts` says. It looks and changes nothing. */
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Redis } from "ioredis";
import type { Pool, PoolClient } from "pg";
import { z } from "zod";

import type { Principal } from "#shared/contracts/apiKey.ts";
import { ConsoleBudgets, ConsoleFlow, ConsoleFrontier, ConsoleLatency, ConsoleOverview, ConsoleQuery, ConsoleRequest, ConsoleRequests, ConsoleRequestsQuery, ConsoleSeries, ConsoleTiers } from "#shared/contracts/console.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { noSuchTenant, withRights } from "#shared/tenancy/database.ts";

import { readBudgets } from "./budgets.ts";
import type { LiveFeed } from "./liveFeed.ts";
import { readOneRequest } from "./oneRequest.ts";
import type { Scope } from "./readSums.ts";
import { findRequests, readRequestList } from "./requestList.ts";
import { spanOf } from "./timeSpan.ts";
import { readFlow, readFrontier, readLatency, readOverview, readSeries } from "./views.ts";

/** What routing goes by now, as far as it is known. */
export type Routing = Pick<ConsoleOverview, "model_version" | "floor">;
export interface ApiDeps {
  readonly pool: Pool;
  readonly redis: Redis;
  readonly prefix: string;
  readonly tierFile: TierFile;
  readonly routing: () => Routing;
  readonly tiers: () => ConsoleTiers;
  readonly live: LiveFeed;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Longest time of one query. Default: 4 s, since what takes longer helps nobody who looks. */
  readonly queryMs?: number;
}

const config = { role: "read" as const };
const errors = { "4xx": ErrorReply, "5xx": ErrorReply };
const QUERY_MS = 4_000;

export const consoleApi = ({ pool, redis, prefix, tierFile, routing, tiers, live, now, queryMs = QUERY_MS }: ApiDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  /** Of the caller's own tenant, or what it asks for. */
  function tenantOf(principal: Principal, named: string | undefined): string | null {
    if (principal.tenant_id !== null && named !== undefined && named !== principal.tenant_id) throw noSuchTenant(named);
    if (principal.roles.has("infer") && !principal.roles.has("admin")) throw new AppError("forbidden", "the console needs a key with the role read or admin: one that asks models has no part in it");
    return principal.tenant_id ?? named ?? null;
  }
  const scopeOf = (principal: Principal, query: ConsoleQuery): Scope => ({ span: spanOf(query, now()), tenantId: tenantOf(principal, query.tenant_id), tier: query.tier ?? null });
  /** Row-level security binds a tenant's key to its own rows, whatever it asks for. */
  const reading = <R>(principal: Principal, run: (client: PoolClient) => Promise<R>): Promise<R> =>
    withRights({ pool, tenantId: principal.tenant_id, isViewer: true }, async (client) => {
      await client.query(`SELECT set_config('work_mem', '32MB', true), set_config('jit', 'off', true), set_config('statement_timeout', '${queryMs}', true)`);
      return run(client);
    });

  app.get("/overview", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleOverview, ...errors } }, config },
    async ({ principal, query }) => {
      const view = await readOverview((run) => reading(principal, run), scopeOf(principal, query), { nowMs: now(), tz: query.tz });
      return { ...view, ...routing(), tiers: tierFile.tiers.map(({ name }) => name) };
    });
  app.get("/series", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleSeries, ...errors } }, config },
    ({ principal, query }) => reading(principal, (client) => readSeries(client, scopeOf(principal, query))));
  app.get("/frontier", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleFrontier, ...errors } }, config },
    ({ principal, query }) => reading(principal, (client) => readFrontier(client, scopeOf(principal, query), { floor: routing().floor?.quality ?? null, baselineTier: tierFile.baseline_tier })));
  app.get("/flow", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleFlow, ...errors } }, config },
    ({ principal, query }) => reading(principal, (client) => readFlow(client, scopeOf(principal, query))));
  app.get("/latency", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleLatency, ...errors } }, config },
    ({ principal, query }) => reading(principal, (client) => readLatency(client, scopeOf(principal, query))));
  app.get("/tiers", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleTiers, ...errors } }, config },
    ({ principal, query }) => {
      tenantOf(principal, query.tenant_id);
      return tiers();
    });
  app.get("/budgets", { schema: { querystring: ConsoleQuery, response: { 200: ConsoleBudgets, ...errors } }, config },
    ({ principal, query }) => readBudgets({ pool, redis, prefix }, tenantOf(principal, query.tenant_id), now()));
  app.get("/requests", { schema: { querystring: ConsoleRequestsQuery, response: { 200: ConsoleRequests, ...errors } }, config },
    ({ principal, query }) => reading(principal, (client) => {
      const scope = scopeOf(principal, query);
      return query.request_id === undefined ? readRequestList(client, scope, query) : findRequests(client, query.request_id, scope.tenantId);
    }));
  app.get("/requests/:tenant_id/:request_id", { schema: { params: z.object({ tenant_id: TenantId, request_id: RequestId }), response: { 200: ConsoleRequest, ...errors } }, config },
    async ({ principal, params: { tenant_id, request_id } }) => {
      tenantOf(principal, tenant_id);
      const found = await reading(principal, (client) => readOneRequest(client, tenant_id, request_id));
      if (found === null) throw new AppError("not_found", `the audit has no request ${request_id} of tenant ${tenant_id}: it may not have ended yet, or be past its retention`);
      return found;
    });
  app.get("/live", { schema: { querystring: ConsoleQuery }, config }, (request, reply) => {
    const { principal, query } = request;
    const body = live.listen({ tenantId: tenantOf(principal, query.tenant_id), tier: query.tier ?? null });
    reply.raw.once("close", () => { body.destroy(); });
    return reply.type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no").send(body);
  });
  done();
};
