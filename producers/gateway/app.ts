/** The gateway's two HTTP servers, without listening, so that tests drive them with `inject`. */
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import type { Registry } from "prom-client";

import { addHealthRoutes, addProbes, type Problems } from "#shared/runtime/roleServer.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Callers } from "#shared/http/callers.ts";
import type { GetDesk } from "./desk.ts";
import { buildHardenedServer } from "./hardenedServer.ts";
import { makeCountRequests } from "./metrics.ts";
import type { Door } from "./openAi/requestOf.ts";
import { openApiWebhooks } from "./openApiWebhooks.ts";
import { type AdminDeps, adminRoutes } from "./routes/admin.ts";
import { batchesRoutes } from "./routes/batches.ts";
import { consoleRoutes } from "./routes/console.ts";
import { erasureRoutes } from "./routes/erasures.ts";
import { feedbackRoute } from "./routes/feedback.ts";
import { inferRoute } from "./routes/infer.ts";
import { type OperationsDeps, operationsRoutes } from "./routes/operations.ts";
import { openAiRoutes } from "./routes/openAi.ts";
import { reportsRoutes } from "./routes/reports.ts";
import { requestEventsRoute } from "./routes/requestEvents.ts";
import { requestsRoute } from "./routes/requests.ts";
import { type WebhookDeps, webhookRoutes } from "./routes/webhooks.ts";

export interface GatewayDeps {
  readonly desk: GetDesk;
  readonly tracer: Tracer;
  readonly registry: Registry;
  readonly problems: Problems;
  readonly warnings?: Problems;
  readonly waiting: () => number;
  readonly log: Logger;
  readonly callers: Callers;
  readonly admin: AdminDeps;
  readonly webhooks: WebhookDeps;
  readonly operations: Pick<OperationsDeps, "broker" | "prefix">;
  readonly isKeyless: boolean;
  /** Of the console's process. */
  readonly consoleUrl: string;
  /** Of `/v1`. */
  readonly door: Door;
  readonly version: string;
}

export interface GatewayServers {
  /** For whoever asks models. */
  readonly service: FastifyInstance;
  /** For whoever administrates; on an address of its own. Nothing under `/admin` is anywhere else. */
  readonly admin: FastifyInstance;
}

export async function buildGateway(deps: GatewayDeps): Promise<GatewayServers> {
  const both = { callers: deps.callers, isKeyless: deps.isKeyless, countRequests: makeCountRequests(deps.registry, deps.waiting), log: deps.log };
  const service = await buildHardenedServer({ ...both, openApi: serviceApi(deps.version) }, async (api, methodsOf) => {
    await api.register(inferRoute(deps));
    await api.register(requestsRoute(deps));
    await api.register(requestEventsRoute(deps));
    await api.register(feedbackRoute(deps));
    await api.register(batchesRoutes({ pool: deps.admin.pool, callers: deps.callers, tierFile: deps.door.tierFile, log: deps.log }));
    await api.register(reportsRoutes(deps.admin));
    await api.register(openAiRoutes({ ...deps, methodsOf }), { prefix: "/v1" });
  });
  addHealthRoutes(service, deps.registry, deps.problems, deps.warnings);
  const admin = await buildHardenedServer({ ...both, openApi: adminApi(deps.version) }, async (api) => {
    await api.register(adminRoutes(deps.admin), { prefix: "/admin" });
    await api.register(erasureRoutes({ pool: deps.admin.pool, ...deps.operations }), { prefix: "/admin" });
    await api.register(webhookRoutes(deps.webhooks), { prefix: "/admin" });
    await api.register(operationsRoutes({ pool: deps.admin.pool, tierFile: deps.door.tierFile, ...deps.operations }), { prefix: "/admin" });
  });
  await admin.register(consoleRoutes(deps));
  addProbes(admin, deps.problems, deps.warnings);
  return { service, admin };
}

const TITLE = "Cost-Aware ML Inference Optimizer";
const serviceApi = (version: string) => ({
  openapi: "3.1.0",
  webhooks: openApiWebhooks,
  info: { title: TITLE, version, description: "Sends each request to the cheapest model tier that is good enough, and says what that saved." },
  tags: [{ name: "inference", description: "Ask, find the answer again, and say how good it was." }, { name: "openai", description: "The same for OpenAI's clients." }, { name: "batches", description: "Many requests that nobody waits for." }, { name: "reports", description: "What was spent, saved and lost." }, { name: "webhooks", description: "What endpoints are sent." }],
});
const adminApi = (version: string) => ({
  openapi: "3.1.0",
  info: { title: `${TITLE}: administration`, version, description: "Who may use the service, and how. On a listener of its own: INFER_GATEWAY_ADMIN_PORT." },
  tags: [{ name: "admin", description: "Tenants, their keys and their webhooks." }, { name: "operations", description: "Routing models, dead letters and breakers, for whoever runs the service." }],
});
