import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import { z } from "zod";

import { Model, ModelList, OpenAiErrorReply } from "#shared/contracts/openAi.ts";
import { storable } from "#shared/contracts/text.ts";

import { modelsOf } from "../openAi/models.ts";
import { badCall } from "../openAi/refusal.ts";
import type { Door } from "../openAi/requestOf.ts";

export const modelsRoutes = ({ door }: { door: Door }): FastifyPluginCallbackZod => (app, _options, done) => {
  const models = modelsOf(door.tierFile);
  const tags = ["openai"];
  app.get("/models", { schema: { summary: "Names that `model` may have", tags, response: { 200: ModelList } }, config: { role: "read" } }, () => ({ object: "list" as const, data: models }));
  const schema = { summary: "One of them", tags, params: z.object({ model: z.string() }), response: { 200: Model, "4xx": OpenAiErrorReply } };
  app.get("/models/:model", { schema, config: { role: "read" } }, async ({ params }, reply) => {
    const found = models.find(({ id }) => id === params.model);
    if (found !== undefined) return reply.send(found);
    const { status, error } = badCall("model_not_found", `The model '${storable(params.model)}' does not exist: GET /v1/models lists all of them`, "model", 404);
    return reply.code(status as 404).send({ error });
  });
  done();
};
