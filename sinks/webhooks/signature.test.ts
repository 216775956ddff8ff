/** Against the standard's own library, its published example, and the verifier of docs/webhooks.md. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Webhook } from "standardwebhooks";
import { expect, it } from "vitest";

import { newSecret } from "#shared/webhooks/secrets.ts";

import { signaturesOf } from "./signature.ts";

const nowS = () => Math.floor(Date.now() / 1_000);
const BODY = JSON.stringify({ type: "request.completed", data: { output: "ä 🌍 \u0000" } });
const headersOf = (secrets: string[], atS = nowS()) => ({ "webhook-id": "msg_1", "webhook-timestamp": String(atS), "webhook-signature": signaturesOf(secrets, { webhookId: "msg_1", atS, body: BODY }) });

it("signs as the standard's example says", () => {
  // standard-webhooks/libraries: the test vector that all of its libraries share
  expect(signaturesOf(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], { webhookId: "msg_p5jXN8AQM9LWM0D4loKWxJek", atS: 1_614_265_330, body: '{"test": 2432232314}' })).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

it("is verified by the standard's library, while secrets rotate by either of them", () => {
  const [present, former] = [newSecret(), newSecret()];
  const headers = headersOf([present, former]);
  for (const secret of [present, former]) expect(new Webhook(secret).verify(BODY, headers)).toEqual(JSON.parse(BODY));
});

it("is refused by it for another secret, body, id or time", () => {
  const secret = newSecret();
  const headers = headersOf([secret]);
  expect(() => new Webhook(newSecret()).verify(BODY, headers)).toThrow();
  expect(() => new Webhook(secret).verify(`${BODY} `, headers)).toThrow();
  expect(() => new Webhook(secret).verify(BODY, { ...headers, "webhook-id": "msg_2" })).toThrow();
  expect(() => new Webhook(secret).verify(BODY, headersOf([secret], nowS() - 3_600))).toThrow();
});

it("is verified by the code that the documentation shows, and refused by it as by the library", async () => {
  const [, code = ""] = /```js\n([^]*?)```/.exec(readFileSync(join(import.meta.dirname, "../../docs/webhooks.md"), "utf8")) ?? [];
  const { isOurs } = (await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`)) as { isOurs: (secret: string, headers: object, body: Buffer) => boolean };
  const [present, former] = [newSecret(), newSecret()];
  const headers = headersOf([present, former]);
  const says = (secret: string, changes: object = {}, body = BODY) => isOurs(secret, { ...headers, ...changes }, Buffer.from(body));
  expect([says(present), says(former)]).toEqual([true, true]);
  expect([
    says(newSecret()), says(present, {}, `${BODY} `), says(present, { "webhook-id": "msg_2" }), says(present, { "webhook-timestamp": "soon" }), says(present, { "webhook-signature": "v1,AAAA" }), says(present, { "webhook-signature": undefined }),
    says(present, headersOf([present], nowS() - 3_600)),
  ]).toEqual(Array.from({ length: 7 }, () => false));
});
