/** What OpenAI's clients know, with errors in their shape. */
import type { FastifyError, FastifyInstance } from "fastify";
import { hasZodFastifySchemaValidationErrors, type FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";

import type { AppError } from "#shared/contracts/errors.ts";

import { logged } from "../errors.ts";
import { badCall, refusalOfError, refusalOfIssues } from "../openAi/refusal.ts";
import { sendRefusal } from "../openAi/sendRefusal.ts";
import { type ChatDeps, chatCompletionsRoute } from "./chatCompletions.ts";
import { modelsRoutes } from "./models.ts";

export const openAiRoutes = (deps: ChatDeps): FastifyPluginAsyncZod => async (app) => {
  app.addHook("onRequest", (request, reply, done) => { done(void reply.header("x-request-id", request.id)); });
  addOpenAiErrors(app, deps.log);
  await app.register(modelsRoutes(deps));
  await app.register(chatCompletionsRoute(deps));
};

function addOpenAiErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = logged(log, error, request);
    if (!hasZodFastifySchemaValidationErrors(error)) return sendRefusal(reply, refusalOfError(known));
    return sendRefusal(reply, refusalOfIssues(error.validation.map(({ instancePath, keyword, message = "invalid", params }) => ({ path: instancePath.split("/").filter((key) => key !== ""), code: keyword, message, keys: keysOf(params) }))));
  });
  app.setNotFoundHandler((request, reply) => sendRefusal(reply, badCall("unknown_url", `Unknown request URL: ${request.method} ${request.url.split("?")[0] ?? ""}`.slice(0, 200), null, 404)));
}

function keysOf(params: object): readonly string[] | undefined {
  return "keys" in params && Array.isArray(params.keys) ? params.keys.map(String) : undefined;
}
