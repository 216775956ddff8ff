/** Webhook endpoints of a tenant and what was sent to them, for whoever runs the service and for the tenant's own `admin` keys. */
import type { LookupFunction } from "node:net";

import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Pool } from "pg";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { DeliveryStatus, EndpointChange, EndpointId, EndpointWithSecret, NewEndpoint, WebhookDelivery, WebhookEndpoint, WebhookId } from "#shared/contracts/webhook.ts";
import { listDeliveries, retryDelivery } from "#shared/webhooks/deliveries.ts";
import { createEndpoint, listEndpoints, removeEndpoint, rotateEndpoint, setEndpointStatus } from "#shared/webhooks/endpoints.ts";
import { type Allowance, problemOfTarget } from "#shared/reach/target.ts";

import { actorOf, config, errors, ofTenant, requireTenant, rightsIn, secretOrThrow } from "../adminRights.ts";

export interface WebhookDeps {
  readonly pool: Pool;
  /** What secrets are sealed with. `null`: INFER_SECRET is not set, so none can be made. */
  readonly key: Buffer | null;
  readonly allowance: Allowance;
  readonly lookup: LookupFunction;
}

const ofEndpoint = ofTenant.extend({ endpoint_id: EndpointId });

export const webhookRoutes = ({ pool, key, allowance, lookup }: WebhookDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["admin"];
  const rightsOf = rightsIn(pool);
  const keyOrThrow = () => secretOrThrow(key, "webhooks cannot be signed");
  // Runs when the params are read and the role is known, before anything of the tenant is looked at.
  app.addHook("preHandler", async ({ principal, params }) => { await requireTenant(pool, principal, ofTenant.parse(params).tenant_id); });

  app.get("/tenants/:tenant_id/webhooks", { schema: { summary: "Webhook endpoints of a tenant, without their secrets", tags, params: ofTenant, response: { 200: z.object({ endpoints: z.array(WebhookEndpoint) }), ...errors } }, config },
    async ({ principal, params }) => ({ endpoints: await listEndpoints(rightsOf(principal), params.tenant_id) }));
  app.post("/tenants/:tenant_id/webhooks", { schema: { summary: "Make a webhook endpoint", description: "`secret` is told this once. Requests with `webhook: true` tell it of their outcome.", tags, params: ofTenant, body: NewEndpoint, response: { 201: EndpointWithSecret, ...errors } }, config },
    async ({ principal, params, body }, reply) => {
      const problem = await problemOfTarget(body.url, allowance, lookup);
      if (problem !== null) throw new AppError("invalid_request", `url: ${problem}`);
      return reply.code(201).send(await createEndpoint(rightsOf(principal), actorOf(principal), keyOrThrow(), params.tenant_id, body.url));
    });
  app.post("/tenants/:tenant_id/webhooks/:endpoint_id/rotate", { schema: { summary: "Give an endpoint a new secret", description: "`secret` is told this once. For 24 hours events have a signature by each of the two; a second rotation within that time ends the first secret.", tags, params: ofEndpoint, response: { 200: EndpointWithSecret, ...errors } }, config },
    async ({ principal, params }) => rotateEndpoint(rightsOf(principal), actorOf(principal), keyOrThrow(), params.tenant_id, params.endpoint_id));
  app.patch("/tenants/:tenant_id/webhooks/:endpoint_id", { schema: { summary: "Disable or enable an endpoint", description: "Safe to repeat. What falls due while it is disabled becomes `dead`.", tags, params: ofEndpoint, body: EndpointChange, response: { 200: WebhookEndpoint, ...errors } }, config },
    async ({ principal, params, body }) => setEndpointStatus(rightsOf(principal), actorOf(principal), params.tenant_id, params.endpoint_id, body.status));
  app.delete("/tenants/:tenant_id/webhooks/:endpoint_id", { schema: { summary: "Remove an endpoint", tags, params: ofEndpoint, response: { 204: z.null(), ...errors } }, config },
    async ({ principal, params }, reply) => {
      await removeEndpoint(rightsOf(principal), actorOf(principal), params.tenant_id, params.endpoint_id);
      return reply.code(204).send(null);
    });

  app.get("/tenants/:tenant_id/webhook-deliveries", { schema: { summary: "What was or will be sent, the latest first", description: "`status=dead`: what was given up on.", tags, params: ofTenant, querystring: z.strictObject({ status: DeliveryStatus.optional(), limit: z.coerce.number().int().min(1).max(1_000).default(100) }), response: { 200: z.object({ deliveries: z.array(WebhookDelivery) }), ...errors } }, config },
    async ({ principal, params, query }) => ({ deliveries: await listDeliveries(rightsOf(principal), params.tenant_id, query) }));
  app.post("/tenants/:tenant_id/webhook-deliveries/:webhook_id/retry", { schema: { summary: "Send again what was given up on", description: "Under the same `webhook-id`, with all tries anew.", tags, params: ofTenant.extend({ webhook_id: WebhookId }), response: { 200: WebhookDelivery, ...errors } }, config },
    async ({ principal, params }) => retryDelivery(rightsOf(principal), actorOf(principal), params.tenant_id, params.webhook_id));
  done();
};
