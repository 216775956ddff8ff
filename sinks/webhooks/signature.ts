import { createHmac } from "node:crypto";

import { keyOfSecret } from "#shared/webhooks/secrets.ts";

export interface Signed {
  readonly webhookId: string;
  /** Of this try, in whole seconds since the epoch. */
  readonly atS: number;
  readonly body: string;
}
/** What `webhook-signature` says: one signature for each secret, while they rotate. Standard Webhooks 1.0.0, "Signature scheme". Pure. */
export const signaturesOf = (secrets: readonly string[], { webhookId, atS, body }: Signed): string =>
  secrets.map((secret) => `v1,${createHmac("sha256", keyOfSecret(secret)).update(`${webhookId}.${atS}.${body}`).digest("base64")}`).join(" ");
