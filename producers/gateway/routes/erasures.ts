/** Who is to be erased (ADR 0042): asked for here, done by audit sinks and routers within seconds. For whoever runs the service: it cannot be undone. */
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Pool } from "pg";
import { z } from "zod";

import { ErasureReply, NewErasure } from "#shared/contracts/erasure.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { askErasure, listErasures } from "#shared/erasure/askErasure.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { longestMaxAgeMs } from "#shared/messaging/topology.ts";

import { actorOf, config, errors, ofTenant, requireOperator, requireTenant, rightsIn } from "../adminRights.ts";

export interface ErasureDeps {
  readonly pool: Pool;
  /** Throws `broker_unavailable` while the gateway starts. */
  readonly broker: () => Pick<Broker, "jsm">;
  readonly prefix: string;
}

export const erasureRoutes = ({ pool, broker, prefix }: ErasureDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["admin"];
  const rightsOf = rightsIn(pool);
  /** As the stream is, whatever this gateway was configured with. */
  const completionsMaxAgeMs = async (): Promise<number> => {
    try {
      return (await broker().jsm.streams.info("COMPLETIONS")).config.max_age / 1e6;
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError("broker_unavailable", "how long the streams keep what they hold cannot be seen now", { cause });
    }
  };

  app.get("/tenants/:tenant_id/erasures", { schema: { summary: "Erasures of a tenant and of its users, the latest first", tags, params: ofTenant, response: { 200: z.object({ erasures: z.array(ErasureReply) }), ...errors } }, config },
    async ({ principal, params }) => {
      await requireTenant(pool, principal, params.tenant_id);
      requireOperator(principal);
      return { erasures: (await listErasures(rightsOf(principal), params.tenant_id)).map(({ reply }) => reply) };
    });
  app.post("/tenants/:tenant_id/erasures", { schema: { summary: "Erase a tenant, or one of its users", description: "For whoever runs the service; it cannot be undone. Rows and keys are gone within minutes, and what the streams hold by `streams_clear_at`. A whole tenant is suspended first. Safe to repeat: what came since is erased too.", tags, params: ofTenant, body: NewErasure, response: { 202: ErasureReply, ...errors } }, config },
    async ({ principal, params, body }, reply) => {
      await requireTenant(pool, principal, params.tenant_id);
      requireOperator(principal);
      const asked = { tenantId: params.tenant_id, userId: body.user_id ?? null, streamsMaxAgeMs: longestMaxAgeMs(prefix, await completionsMaxAgeMs()) };
      return reply.code(202).send((await askErasure(rightsOf(principal), actorOf(principal), asked)).reply);
    });
  done();
};
