import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";

import { ChatCompletion, ChatCompletionBody, OpenAiErrorReply } from "#shared/contracts/openAi.ts";

import { chunkFrames } from "../openAi/chunksOf.ts";
import { replyOf } from "../openAi/replyOf.ts";
import { requestOf } from "../openAi/requestOf.ts";
import { type AnswerDeps, makeAnswerCall } from "./answerCall.ts";

export const chatCompletionsRoute = (deps: AnswerDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const answerCall = makeAnswerCall(deps, "/v1/chat/completions");
  const schema = {
    summary: "Answer a conversation with the cheapest tier that is good enough",
    description:
      "OpenAI's chat completions. What this service decides by comes as `x-optimizer-*` headers or as `optimizer` in the body; what it decided is in the reply's " +
      "`optimizer` and headers. With `stream` the reply is `text/event-stream`: pieces of an answer that will be kept whatever it is come as they are made, any other answer once it is kept. " +
      "A stream that does not end in `[DONE]` has failed, and says why in an `error` event.",
    tags: ["openai"],
    body: ChatCompletionBody,
    response: { 200: ChatCompletion, "4xx": OpenAiErrorReply, "5xx": OpenAiErrorReply },
  };
  app.post("/chat/completions", { schema, config: { role: "infer" } }, async ({ body, headers }, reply) => {
    const includeUsage = body.stream_options?.include_usage === true;
    await answerCall(requestOf(body, headers, deps.door), reply, {
      whole: replyOf,
      frames: (head, options) => chunkFrames({ ...head, includeUsage }, options),
    });
    return reply;
  });
  done();
};
