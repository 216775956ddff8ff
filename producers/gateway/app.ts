/** The gateway's HTTP app, without listening, so that tests drive it with `inject`. */
import helmet from "@fastify/helmet";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import { v7 as uuidv7 } from "uuid";

import { AppError } from "#shared/contracts/errors.ts";
import { isLoopback } from "#shared/runtime/loopback.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { addHealthRoutes, type Problems } from "#shared/runtime/roleServer.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Callers } from "./callers.ts";
import type { GetDesk } from "./desk.ts";
import { addErrorHandlers, answerFrameworkError } from "./errors.ts";
import { addHttpMetrics } from "./metrics.ts";
import type { Door } from "./openAi/requestOf.ts";
import { openApiWebhooks } from "./openApiWebhooks.ts";
import { readRestOfLargeBody } from "./readRestOfLargeBody.ts";
import { type AdminDeps, adminRoutes } from "./routes/admin.ts";
import { batchesRoutes } from "./routes/batches.ts";
import { feedbackRoute } from "./routes/feedback.ts";
import { inferRoute } from "./routes/infer.ts";
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
  /** Without API keys only local callers are served: a web page that resolves its own name to this address is refused. */
  readonly isKeyless: boolean;
  /** Of `/v1`. */
  readonly door: Door;
  readonly version: string;
}

const BODY_LIMIT_BYTES = 256 * 1024;
/** Until the whole of a request must be there: of one that uploads many lines, and of any other. */
const UPLOAD_MS = 300_000;
const BODY_MS = 10_000;

export async function buildGateway(deps: GatewayDeps): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: UPLOAD_MS,
    // Without the interval the time-outs are looked at every 30 s only.
    http: { headersTimeout: 8_000, connectionsCheckingInterval: 1_000, maxHeaderSize: 8_192 },
    keepAliveTimeout: 72_000,
    forceCloseConnections: "idle",
    exposeHeadRoutes: false,
    requestIdHeader: false,
    genReqId: () => uuidv7(),
    routerOptions: { maxParamLength: 100 },
    frameworkErrors: (error, _request, reply) => { answerFrameworkError(error, reply); },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  addJsonParser(app);
  const { methodsOf } = addErrorHandlers(app, deps.log);
  addHttpMetrics(app, deps.registry, deps.waiting);
  app.addHook("onSend", readRestOfLargeBody);
  await app.register(helmet, { global: true, hsts: false, contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } });
  await app.register(swagger, { openapi: openApiInfo(deps.version), transform: jsonSchemaTransform, hideUntagged: true });
  addHealthRoutes(app, deps.registry, deps.problems, deps.warnings);
  await app.register(async (api) => {
    if (deps.isKeyless) api.addHook("onRequest", (request, _reply, done) => { done(hostProblem(request.hostname)); });
    api.addHook("onSend", (_request, reply, payload, done) => { done(null, (void reply.header("cache-control", "no-store"), payload)); });
    api.addHook("onRequest", giveUpSlowBodies);
    deps.callers.guard(api);
    await api.register(inferRoute(deps));
    await api.register(requestsRoute(deps));
    await api.register(requestEventsRoute(deps));
    await api.register(feedbackRoute(deps));
    await api.register(batchesRoutes({ pool: deps.admin.pool, callers: deps.callers, tierFile: deps.door.tierFile, log: deps.log }));
    await api.register(reportsRoutes(deps.admin));
    await api.register(adminRoutes(deps.admin), { prefix: "/admin" });
    await api.register(webhookRoutes(deps.webhooks), { prefix: "/admin" });
    await api.register(openAiRoutes({ ...deps, methodsOf }), { prefix: "/v1" });
  });
  app.get("/openapi.json", () => app.swagger());
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: true, uiConfig: { docExpansion: "full", tryItOutEnabled: true } });
  return app;
}

const openApiInfo = (version: string) => ({
  openapi: "3.1.0",
  webhooks: openApiWebhooks,
  info: { title: "Cost-Aware ML Inference Optimizer", version, description: "Sends each request to the cheapest model tier that is good enough, and says what that saved." },
  tags: [{ name: "inference", description: "Ask, find the answer again, and say how good it was." }, { name: "openai", description: "The same for OpenAI's clients." }, { name: "batches", description: "Many requests that nobody waits for." }, { name: "reports", description: "What was spent, saved and lost." }, { name: "admin", description: "Tenants, their keys and their webhooks." }, { name: "webhooks", description: "What endpoints are sent." }],
});

/** The parser of the NATS door. Other content types, charsets and encodings are 415. */
function addJsonParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    const charset = /charset\s*=\s*"?([\w-]+)/i.exec(request.headers["content-type"] ?? "")?.[1]?.toLowerCase();
    if ((charset !== undefined && charset !== "utf-8") || request.headers["content-encoding"] !== undefined) {
      done(new AppError("unsupported_media_type", "send uncompressed JSON in UTF-8"));
      return;
    }
    try {
      done(null, parseJson(body as Buffer));
    } catch (error) {
      done(error as AppError);
    }
  });
}

/** Else whoever sends a byte now and then holds a connection for minutes. */
function giveUpSlowBodies({ raw, headers, routeOptions }: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  if (hasBody && routeOptions.config.isUpload !== true) {
    const late = setTimeout(() => {
      void reply.header("connection", "close");
      if (raw.listenerCount("error") === 0) raw.destroy(); // nobody reads it: it was answered already, or its caller is not known yet
      else raw.emit("error", new AppError("request_timeout", `the body did not arrive within ${BODY_MS / 1_000} s`));
    }, BODY_MS);
    raw.once("end", () => { clearTimeout(late); }).once("close", () => { clearTimeout(late); });
  }
  done();
}

function hostProblem(hostname: string): AppError | undefined {
  return isLoopback(hostname.replace(/^\[|\]$/g, "")) ? undefined : new AppError("forbidden_host", "without API keys this service answers only as localhost or a loopback address");
}
