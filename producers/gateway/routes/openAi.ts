/** What OpenAI's clients know, with errors in their shape. */
import type { FastifyError, FastifyInstance } from "fastify";
import { hasZodFastifySchemaValidationErrors, type FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";

import type { AppError } from "#shared/contracts/errors.ts";

import { askLater, logged, type MethodsOf } from "#shared/http/errors.ts";
import { badCall, refusalOf, refusalOfError, refusalOfIssues } from "../openAi/refusal.ts";
import { sendRefusal } from "../openAi/sendRefusal.ts";
import type { AnswerDeps } from "./answerCall.ts";
import { chatCompletionsRoute } from "./chatCompletions.ts";
import { embeddingsRoute } from "./embeddings.ts";
import { modelsRoutes } from "./models.ts";
import { responsesRoute } from "./responses.ts";

export const openAiRoutes = (deps: AnswerDeps & { readonly methodsOf: MethodsOf }): FastifyPluginAsyncZod => async (app) => {
  app.addHook("onRequest", (request, reply, done) => { done(void reply.header("x-request-id", request.id)); });
  addOpenAiErrors(app, deps);
  await app.register(modelsRoutes(deps));
  await app.register(chatCompletionsRoute(deps));
  await app.register(embeddingsRoute(deps));
  await app.register(responsesRoute(deps));
};

function addOpenAiErrors(app: FastifyInstance, { log, methodsOf }: { readonly log: Logger; readonly methodsOf: MethodsOf }): void {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = logged(log, error, request);
    if (!hasZodFastifySchemaValidationErrors(error)) {
      askLater(reply, known);
      return sendRefusal(reply, refusalOfError(known));
    }
    return sendRefusal(reply, refusalOfIssues(error.validation.map(({ instancePath, keyword, message = "invalid", params }) => ({ path: instancePath.split("/").filter((key) => key !== ""), code: keyword, message, ...params }))));
  });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request);
    const path = (request.url.split("?")[0] ?? "").slice(0, 200);
    if (allowed.length === 0) return sendRefusal(reply, badCall("unknown_url", `Unknown request URL: ${request.method} ${path}`, null, 404));
    return sendRefusal(reply.header("allow", allowed.join(", ")), refusalOf({ code: "method_not_allowed", message: `use ${allowed.join(" or ")}` }));
  });
}
