/** A Fastify instance with all that keeps its callers in bounds: limits, time-outs, headers, one parser, typed errors, its own documents. Each listener of the gateway is one. */
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";

import swagger, { type FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { jsonSchemaTransform, type ZodTypeProvider } from "fastify-type-provider-zod";
import helmet from "helmet";
import type { Logger } from "pino";
import { v7 as uuidv7 } from "uuid";

import { AppError } from "#shared/contracts/errors.ts";
import type { Callers } from "#shared/http/callers.ts";
import { readByCompiled, writeByCompiled } from "#shared/http/compiledRoutes.ts";
import { addErrorHandlers, answerFrameworkError, type MethodsOf } from "#shared/http/errors.ts";
import { hostProblem, originProblem } from "#shared/http/hostProblem.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import type { CountRequests } from "./metrics.ts";
import { readRestOfLargeBody } from "./readRestOfLargeBody.ts";

interface HardenedServerDeps {
  readonly callers: Callers;
  /** Without API keys only local callers are served: a web page that resolves its own name to this address is refused. */
  readonly isKeyless: boolean;
  readonly countRequests: CountRequests;
  readonly openApi: NonNullable<FastifyDynamicSwaggerOptions["openapi"]>;
  readonly log: Logger;
}

const BODY_LIMIT_BYTES = 256 * 1024;
/** Until the whole of a request must be there: of one that uploads many lines, and of any other. */
const UPLOAD_MS = 300_000;
const BODY_MS = 10_000;

/** `addRoutes` adds what needs a key with a role. Whatever is added to the result afterwards is open to anybody who reaches the listener. */
export async function buildHardenedServer({ callers, isKeyless, countRequests, openApi, log }: HardenedServerDeps, addRoutes: (api: FastifyInstance, methodsOf: MethodsOf) => Promise<void>): Promise<FastifyInstance> {
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
  app.setValidatorCompiler(readByCompiled);
  app.setSerializerCompiler(writeByCompiled);
  addJsonParser(app);
  const { methodsOf } = addErrorHandlers(app, log);
  countRequests(app);
  app.addHook("onSend", readRestOfLargeBody);
  const forBrowsers = headersForBrowsers();
  app.addHook("onRequest", (_request, reply, done) => { done(void reply.headers(forBrowsers)); });
  await app.register(swagger, { openapi: openApi, transform: jsonSchemaTransform, hideUntagged: true });
  await app.register(async (api) => {
    if (isKeyless) api.addHook("onRequest", (request, _reply, done) => { done(hostProblem(request.hostname) ?? originProblem({ method: request.method, origin: request.headers.origin, host: request.host })); });
    api.addHook("onSend", (_request, reply, payload, done) => { done(null, (void reply.header("cache-control", "no-store"), payload)); });
    api.addHook("onRequest", giveUpSlowBodies);
    callers.guard(api);
    await addRoutes(api, methodsOf);
  });
  app.get("/openapi.json", () => app.swagger());
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: true, uiConfig: { docExpansion: "full", tryItOutEnabled: true } });
  return app;
}

/** How a browser must treat any answer. They are the same for all, and making them anew took 4 % of what the gateway does for a request. */
function headersForBrowsers(): ReturnType<ServerResponse["getHeaders"]> {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  helmet({ strictTransportSecurity: false, contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } })(response.req, response, (problem) => {
    if (problem instanceof Error) throw problem;
  });
  return { ...response.getHeaders() };
}

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
