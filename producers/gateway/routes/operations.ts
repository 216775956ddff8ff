/**
 * What whoever runs the service does while it runs: which routing model decides, dead letters, breakers. Each has its line in the admin audit: it is written in a
 * transaction that is committed once the thing is done, so neither is there without the other but for a crash between the two.
 */
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Pool } from "pg";
import { z } from "zod";

import type { Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { servedBy, TierName, type TierFile } from "#shared/contracts/tiers.ts";
import { getDeadLetter, latestDeadLetters } from "#shared/deadLetters/deadLetters.ts";
import { markHandled, readHandled } from "#shared/deadLetters/handled.ts";
import { retryDeadLetter } from "#shared/deadLetters/retryDeadLetter.ts";
import { sendBreakerReset } from "#shared/messaging/breakerResets.ts";
import { type Active, isLostRace, type ModelStore, openModelStore, storedVersions, UnreadableModel } from "#shared/messaging/modelStore.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { tierProblem } from "#shared/runtime/tierProblem.ts";
import { type AdminEntry, writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { withRights } from "#shared/tenancy/database.ts";

import { actorOf, config, errors, requireOperator, rightsIn } from "../adminRights.ts";

export interface OperationsDeps {
  readonly pool: Pool;
  /** Throws `broker_unavailable` while the gateway starts. */
  readonly broker: () => Pick<Broker, "nats" | "js" | "jsm" | "streams" | "acks">;
  readonly prefix: string;
  readonly tierFile: Pick<TierFile, "tiers" | "embedders" | "baseline_tier">;
}

const ActiveModel = z.object({ version: z.string().nullable(), previous: z.array(z.string().nullable()), activated_at: z.iso.datetime() });
const ofModel = z.object({ version: z.string().regex(/^[a-z0-9-]{1,64}$/) });
const ofLetter = z.object({ seq: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });
const Letter = z.object({ seq: z.int(), letter: DeadLetter.omit({ late_attempt: true }) });
const lettersQuery = z.strictObject({ stream: z.string().regex(/^[A-Z_]{1,64}$/).optional(), tenant_id: TenantId.optional(), reason: z.string().max(64).optional(), all: z.enum(["true", "false"]).default("false").describe("`true`: handled ones too."), limit: z.coerce.number().int().min(1).max(500).default(100) });

export const operationsRoutes = ({ pool, broker, prefix, tierFile }: OperationsDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["operations"];
  const rightsOf = rightsIn(pool);
  app.addHook("preHandler", (request, _reply, next) => { requireOperator(request.principal); next(); });

  const store = (): Promise<ModelStore> => openModelStore(broker().nats, prefix).catch((cause: unknown) => { throw new AppError("broker_unavailable", "the routing models cannot be read now", { cause }); });
  const audited = <R>(principal: Principal, entry: Omit<AdminEntry, "tenantId">, run: () => Promise<R>): Promise<R> => withRights(rightsOf(principal), async (client) => {
    await writeAdminAudit(client, actorOf(principal), { tenantId: null, ...entry });
    return run();
  });
  /** What the store throws, as what a caller is told. */
  const told = (error: unknown): never => {
    if (error instanceof AppError) throw error;
    if (error instanceof UnreadableModel) throw new AppError("conflict", error.message, { cause: error });
    if (isLostRace(error)) throw new AppError("conflict", "somebody else has changed which model is active meanwhile: look again", { cause: error });
    throw new AppError("broker_unavailable", "which model is active cannot be changed now", { cause: error });
  };
  async function requireModel(models: ModelStore, version: string): Promise<void> {
    const model = await models.get(version);
    if (model === null) throw new AppError("not_found", `there is no routing model ${version}`);
    const problem = tierProblem(model, tierFile);
    if (problem !== null) throw new AppError("conflict", `model ${version} does not fit: ${problem}`);
  }

  app.get("/models", { schema: { summary: "Routing models that are stored, and which is active", tags, response: { 200: z.object({ active: ActiveModel.nullable(), versions: z.array(z.string()) }), ...errors } }, config },
    async () => {
      const models = await store();
      return { active: await models.active().catch(told), versions: await storedVersions(broker().streams, prefix) };
    });
  app.post("/models/:version/activate", { schema: { summary: "Put a routing model to work", description: "Routers take it within seconds. Activating the active one begins the watch over its floor anew.", tags, params: ofModel, response: { 200: ActiveModel, ...errors } }, config },
    async ({ principal, params: { version } }): Promise<Active> => {
      const models = await store();
      await requireModel(models, version).catch(told);
      const before = await models.active().catch(told);
      return audited(principal, { action: "model.activate", object: version, change: { before: before?.version ?? null } }, () => models.activate(version)).catch(told);
    });
  app.post("/models/deactivate", { schema: { summary: "No routing model", description: "Within seconds routers use the tier file's thresholds.", tags, response: { 200: ActiveModel, ...errors } }, config },
    async ({ principal }): Promise<Active> => {
      const models = await store();
      const before = await models.active().catch(told);
      if (before === null || before.version === null) throw new AppError("conflict", "no model is active");
      return audited(principal, { action: "model.deactivate", object: before.version, change: {} }, async () => required(await models.deactivate())).catch(told);
    });
  app.post("/models/rollback", { schema: { summary: "Back to the routing model that was active before", description: "Which may be none. After `deactivate`: to the model before it.", tags, response: { 200: ActiveModel, ...errors } }, config },
    async ({ principal }): Promise<Active> => {
      const models = await store();
      const before = await models.active().catch(told);
      const to = before?.previous.at(-1);
      if (before === null || to === undefined) throw new AppError("conflict", "there is nothing to go back to");
      if (to !== null) await requireModel(models, to).catch(told);
      return audited(principal, { action: "model.rollback", object: to ?? "none", change: { before: before.version } }, async () => required(await models.rollback())).catch(told);
    });

  app.get("/dead-letters", { schema: { summary: "Messages that were given up, the latest first", description: "Those that nobody has handled. Never their payload.", tags, querystring: lettersQuery, response: { 200: z.object({ letters: z.array(Letter) }), ...errors } }, config },
    async ({ principal, query: { stream, tenant_id, reason, all, limit } }) => {
      const handled = all === "true" ? new Set<string>() : await readHandled(rightsOf(principal));
      return { letters: await latestDeadLetters(broker(), { stream, tenantId: tenant_id, reason }, { handled, most: limit }) };
    });
  app.post("/dead-letters/:seq/retry", { schema: { summary: "Send the request of a dead letter again", description: "As `dlq-<seq>`, with limits and budgets as for any other. REQUESTS keeps a request for an hour; after that whoever asked must ask again. Safe to repeat.", tags, params: ofLetter, response: { 200: z.object({ tenant_id: z.string(), request_id: z.string(), submitted: z.enum(["accepted", "repeated"]) }), ...errors } }, config },
    async ({ principal, params: { seq } }) => {
      const kept = await getDeadLetter(broker(), seq);
      const { id, submitted } = await retryDeadLetter({ ...broker(), prefix }, kept);
      await markHandled(rightsOf(principal), actorOf(principal), kept, { action: "dead_letter.retry", retriedAs: id.request_id });
      return { ...id, submitted };
    });
  app.post("/dead-letters/:seq/discard", { schema: { summary: "Mark a dead letter as handled", tags, params: ofLetter, body: z.strictObject({ note: z.string().max(1_000).optional() }).nullish(), response: { 200: z.object({ seq: z.int() }), ...errors } }, config },
    async ({ principal, params: { seq }, body }) => {
      const kept = await getDeadLetter(broker(), seq);
      await markHandled(rightsOf(principal), actorOf(principal), kept, { action: "dead_letter.discard", note: body?.note });
      return { seq };
    });

  app.post("/tiers/:tier/breaker/reset", { schema: { summary: "Have the breaker of a tier try again at once", description: "In all workers of the tier: the next call is its trial, and closes it where it is answered. One that is closed stays as it is.", tags, params: z.object({ tier: TierName }), response: { 202: z.object({ tier: TierName }), ...errors } }, config },
    async ({ principal, params: { tier } }, reply) => {
      if (!servedBy(tierFile).some(({ name }) => name === tier)) throw new AppError("not_found", `there is no tier ${tier}`);
      const { nats } = broker();
      await audited(principal, { action: "breaker.reset", object: tier, change: {} }, () => sendBreakerReset(nats, { prefix, tier }).catch((cause: unknown) => { throw new AppError("broker_unavailable", "workers cannot be told now", { cause }); }));
      return reply.code(202).send({ tier });
    });
  done();
};

function required(active: Active | null): Active {
  if (active === null) throw new AppError("conflict", "somebody else has changed which model is active meanwhile: look again");
  return active;
}
