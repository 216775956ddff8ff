import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import { ErrorReply, InferReply, PendingReply, toReply } from "#shared/contracts/reply.ts";

import { tenantToSee } from "#shared/http/callers.ts";
import type { GetDesk } from "../desk.ts";

/** How a request is named in a path. */
export const ofRequest = {
  params: z.object({ id: RequestId }),
  querystring: z.strictObject({ tenant_id: TenantId.optional().describe("Needed only when several tenants used the same id.") }),
};

export const explain = z.enum(["true", "false"]).default("false").transform((text) => text === "true").describe("`true`: each decision with all that it knew, predicted and drew.");

export const requestsRoute = ({ desk }: { desk: GetDesk }): FastifyPluginCallbackZod => (app, _options, done) => {
  const schema = {
    summary: "The outcome of an accepted request",
    description: "200 with the record once there is an outcome, whatever it is; 202 while it is under way; 404 for an id that was never accepted or is no longer kept.",
    tags: ["inference"],
    ...ofRequest,
    querystring: ofRequest.querystring.extend({ explain }),
    response: { 200: InferReply, 202: PendingReply, "4xx": ErrorReply, "5xx": ErrorReply },
  };
  app.get("/requests/:id", { schema, config: { role: "read" } }, async ({ params, query, principal }, reply) => {
    const found = await desk().find(params.id, tenantToSee(principal, query.tenant_id));
    if (found === null) throw new AppError("not_found", `there is no request ${params.id}`);
    if (found.kind === "done") return reply.send(toReply(found.completion, query));
    return reply.code(202).header("retry-after", "1").send({ ...found.id, status: "pending" as const });
  });
  done();
};
