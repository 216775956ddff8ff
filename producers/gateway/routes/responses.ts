import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";

import { OpenAiErrorReply } from "#shared/contracts/openAi.ts";
import { ResponseBody, ResponseReply } from "#shared/contracts/responses.ts";

import { responseFrames } from "../openAi/responses/eventsOf.ts";
import { echoOf, responseOf } from "../openAi/responses/replyOf.ts";
import { responseRequestOf } from "../openAi/responses/requestOf.ts";
import { type AnswerDeps, makeAnswerCall } from "./answerCall.ts";

export const responsesRoute = (deps: AnswerDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const answerCall = makeAnswerCall(deps, "/v1/responses");
  const schema = {
    summary: "The same as OpenAI's responses, for texts and functions",
    description:
      "Nothing is stored, so a conversation is sent whole. Controls and `optimizer` are those of chat completions. With `stream` the events are OpenAI's; " +
      "a stream that ends neither in `response.completed` nor in `response.incomplete` has failed, and says why in `response.failed`.",
    tags: ["openai"],
    body: ResponseBody,
    response: { 200: ResponseReply, "4xx": OpenAiErrorReply, "5xx": OpenAiErrorReply },
  };
  app.post("/responses", { schema, config: { role: "infer" } }, async ({ body, headers }, reply) => {
    const echo = echoOf(body);
    await answerCall(responseRequestOf(body, headers, deps.door), reply, {
      whole: (event, options) => responseOf(event, echo, options),
      frames: (head, options) => responseFrames({ ...head, echo }, options),
    });
    return reply;
  });
  done();
};
