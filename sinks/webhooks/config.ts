import { pick } from "#shared/runtime/loadConfig.ts";
import { allowanceOf } from "#shared/reach/target.ts";

export const WebhookSenderConfig = pick("DATABASE_URL", "INFER_HTTP_HOST", "INFER_WEBHOOK_SENDER_PORT", "INFER_AUTH", "INFER_SECRET", "INFER_WEBHOOK_ALLOW")
  .refine((env) => env.INFER_SECRET !== undefined, { path: ["INFER_SECRET"], error: "webhooks are signed with what it protects: set it as the gateway has it" })
  .transform((env) => ({
    databaseUrl: env.DATABASE_URL, host: env.INFER_HTTP_HOST, port: env.INFER_WEBHOOK_SENDER_PORT, secret: env.INFER_SECRET ?? "",
    allowance: allowanceOf(env.INFER_WEBHOOK_ALLOW, { isKeyless: env.INFER_AUTH === "keyless" }),
  }));
