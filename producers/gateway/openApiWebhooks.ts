import { z } from "zod";

import { WEBHOOK_BODIES, WebhookType } from "#shared/contracts/webhook.ts";

const SUMMARIES: Readonly<Record<WebhookType, string>> = { "request.completed": "A request with `webhook: true` has ended", "batch.finished": "A batch has ended, also by being cancelled" };
const TAKEN = { description: "Taken. Anything else, or nothing within 10 s, is tried again." };

/** What endpoints are sent, for the OpenAPI document. It is signed, which that cannot say: docs/webhooks.md. */
export const openApiWebhooks = Object.fromEntries(WebhookType.options.map((type) => {
  const { $schema: _, ...schema } = z.toJSONSchema(WEBHOOK_BODIES[type], { io: "output" });
  return [type, { post: { summary: SUMMARIES[type], tags: ["webhooks"], requestBody: { required: true, content: { "application/json": { schema } } }, responses: { "2XX": TAKEN } } }];
}));
