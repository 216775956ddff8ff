import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";

import type { Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { FeedbackBody, FeedbackReply, isJudged } from "#shared/contracts/feedback.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import { tenantToSee } from "#shared/http/callers.ts";
import type { GetDesk } from "../desk.ts";
import { ofRequest } from "./requests.ts";

const ROUTE = "/requests/:id/feedback";

export const feedbackRoute = ({ desk, tracer, log }: { desk: GetDesk; tracer: Tracer; log: Logger }): FastifyPluginCallbackZod => (app, _options, done) => {
  const schema = {
    summary: "Say how good an answer was",
    description: "Safe to repeat: each source has one feedback per request, and its latest counts. The sources `label` and `judge` need a key of the role `admin`, all others of `infer`. 404 for an id that was never accepted or is no longer kept; 409 for a request that has no outcome yet.",
    tags: ["inference"],
    ...ofRequest,
    body: FeedbackBody,
    response: { 202: FeedbackReply, "4xx": ErrorReply, "5xx": ErrorReply },
  };
  app.post(ROUTE, { schema, config: { role: ["infer", "admin"] } }, async (request, reply) => {
    const { params, query, body, headers } = request;
    assertMaySay(request.principal, body);
    const attributes = { "http.request.method": "POST", "http.route": ROUTE };
    return tracer.span(`POST ${ROUTE}`, { kind: "SERVER", parent: traceparentFrom(headers["traceparent"]), attributes }, async (traceparent) => {
      const { find, submitFeedback } = desk();
      const found = await find(params.id, tenantToSee(request.principal, query.tenant_id));
      if (found === null) throw new AppError("not_found", `there is no request ${params.id}`);
      if (found.kind === "pending") throw new AppError("no_outcome", `request ${params.id} has no outcome yet: send the feedback again once GET /requests/${params.id} answers 200`);
      const { tenant_id, request_id } = found.completion;
      request.ids = { tenant_id, request_id, trace_id: traceIdOf(traceparent) };
      await submitFeedback({ tenant_id, request_id }, body, traceparent);
      log.info({ ...request.ids }, "feedback recorded");
      return reply.code(202).send({ request_id, tenant_id, status: "recorded" as const });
    });
  });
  done();
};

/** What is judged makes routing careful for every tenant: not for whoever may ask a model. */
function assertMaySay({ roles }: Principal, { source }: FeedbackBody): void {
  const role = isJudged({ source }) ? "admin" : "infer";
  if (!roles.has(role)) throw new AppError("forbidden", `feedback of the source ${source} needs a key with the role ${role}`);
}
