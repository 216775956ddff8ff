import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import type { Logger } from "pino";

import { inOneLine, isOfUnicode } from "#shared/contracts/describeIssues.ts";
import { AppError, ERROR_CODES, type ErrorCode } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { ErrorReply } from "#shared/contracts/reply.ts";
import { secondsUp } from "#shared/limits/buckets.ts";

/** What a log line and an answer say about the request that failed: `null` until its body was read. */
export interface RequestIds {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly trace_id: string;
}
declare module "fastify" {
  interface FastifyRequest {
    ids: RequestIds | null;
  }
}

/** After what nobody knows how long it lasts: an outage, or a request in flight. */
const RETRY_AFTER_S = 1;
/** As long as a limit, or any of the models' servers, asked a request for: the next one may come to the same. */
export const retryAfterS = (outcome: Pick<Completion, "attempts" | "error"> | null): number =>
  Math.max(RETRY_AFTER_S, secondsUp(outcome?.error?.retry_after_ms ?? 0), ...(outcome?.attempts ?? []).map((attempt) => (attempt.outcome.kind === "failed" ? secondsUp(attempt.outcome.retry_after_ms ?? 0) : 0)));

/** Methods that the path of a request has. */
export type MethodsOf = (request: FastifyRequest) => string[];

/** One place where what was thrown becomes an HTTP answer. What nobody expected is logged and says nothing. */
export function addErrorHandlers(app: FastifyInstance, log: Logger): { readonly methodsOf: MethodsOf } {
  const methodsOf = makeMethodsOf(app);
  app.decorateRequest("ids", null);
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = logged(log, error, request);
    askLater(reply, known);
    return send(reply, known.code, known.publicMessage, known.retryable ? request.ids?.request_id : undefined);
  });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request);
    if (allowed.length === 0) return send(reply, "not_found", "there is no such path; GET /docs lists all of them");
    void reply.header("allow", allowed.join(", "));
    return send(reply, "method_not_allowed", `use ${allowed.join(" or ")}`);
  });
  return { methodsOf };
}

/** What was thrown, as what may be told of it. The one place where it is logged. */
export function logged(log: Logger, error: FastifyError | AppError, { ids, routeOptions }: Pick<FastifyRequest, "ids" | "routeOptions">): AppError {
  const known = error instanceof AppError ? error : toAppError(error);
  const where = { ...ids, route: routeOptions.url };
  if (known.code === "internal") log.error({ ...where, err: error }, "unhandled error");
  else if (known.code === "overloaded") log.debug(where, "refused"); // counted: a line for each would be load too
  else if (known.isOutage) log.warn({ ...where, err: error }, "answered 503");
  else if (ids !== null) log.info({ ...where, code: known.code }, "refused"); // never the message: it may quote the body
  return known;
}

/** Where it is known when there is room again: of a limit, or of the queue. */
export function askLater(reply: FastifyReply, { retryAfterMs }: AppError): void {
  if (retryAfterMs !== null) void reply.header("retry-after", secondsUp(retryAfterMs));
}

/** Of a path that cannot be read: no route, and so no error handler, has it. */
export function answerFrameworkError(error: FastifyError, reply: FastifyReply): void {
  const { code, publicMessage: message } = toAppError(error);
  void reply.code(error.statusCode ?? 500).send({ error: { code, message, retryable: false } } satisfies ErrorReply);
}

/** `requestId`: for what may be asked again. Without it a retry of an id that was made here would be a second paid request. */
function send(reply: FastifyReply, code: ErrorCode, message: string, requestId?: string) {
  const { httpStatus, retryable } = ERROR_CODES[code];
  if (retryable && !reply.hasHeader("retry-after")) void reply.header("retry-after", RETRY_AFTER_S);
  return reply.code(httpStatus).send({ error: { code, message, retryable }, ...(requestId === undefined ? {} : { request_id: requestId }) } satisfies ErrorReply);
}

/** By the routes' patterns. */
function makeMethodsOf(app: FastifyInstance): MethodsOf {
  const routes: { method: string; parts: string[] }[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat()) routes.push({ method: one, parts: url.split("/") });
  });
  return ({ url }) => {
    const path = (url.split("?")[0] ?? url).split("/");
    const fits = (parts: readonly string[]) => parts.length === path.length && parts.every((part, i) => part.startsWith(":") || part === path[i]);
    return routes.filter(({ parts }) => fits(parts)).map(({ method }) => method);
  };
}

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = { 413: "payload_too_large", 415: "unsupported_media_type" };

/** Fastify's own errors, and its validator's. */
function toAppError(error: FastifyError): AppError {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const isUnicode = error.validation.some(({ params }) => isOfUnicode(params));
    const problems = error.validation.map(({ instancePath, message }) => `${instancePath.slice(1).replaceAll("/", ".") || error.validationContext || "request"}: ${message ?? "invalid"}`);
    return new AppError(isUnicode ? "invalid_unicode" : "invalid_request", inOneLine(problems), { cause: error });
  }
  const status = error.statusCode ?? 500;
  if (status >= 500) return new AppError("internal", "internal error", { cause: error });
  return new AppError(CODE_OF_STATUS[status] ?? "invalid_request", error.message, { cause: error });
}
