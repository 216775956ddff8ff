/** A request that asks for it tells its tenant's endpoint, through the whole system, also when the sender is killed on the way. */
import { connect } from "@nats-io/transport-node";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";

import { startWebhookReceiver, type WebhookReceiver } from "#infra/testWebhookReceiver.ts";
import { RequestCompleted } from "#shared/contracts/webhook.ts";

import { body, postJson, recordOf } from "./callers.ts";
import { startSystem, type System } from "./system.ts";

let system: System;
let receiver: WebhookReceiver;
let secret: string;
beforeAll(async () => {
  [system, receiver] = await Promise.all([startSystem(), startWebhookReceiver()]);
  await system.inferctl("tenants", "create", "tenant-1");
  const printed = await system.inferctl("webhooks", "add", receiver.url("/hook"), "--tenant", "tenant-1", "--json");
  secret = /"secret":"([^"]+)"/.exec(printed)?.[1] ?? "";
});
afterAll(async () => {
  await receiver.close();
  await system.remove();
});
const eventOf = (id: string) => {
  const of = receiver.received("/hook").filter(({ body: text }) => text.includes(`"${id}"`));
  return of.map(({ body: text, headers }) => ({ id: headers["webhook-id"], event: RequestCompleted.parse(new Webhook(secret).verify(text, headers as Record<string, string>)) }));
};

test("over HTTP and over NATS: the event says what the reply says, and who did not ask gets none", async () => {
  const silent = recordOf(await postJson(`${system.url("gateway")}/infer`, body("silent", "test")));
  const asked = recordOf(await postJson(`${system.url("gateway")}/infer`, { ...body("asked", "test"), webhook: true }));
  const nats = await connect({ servers: system.url("nats") });
  await nats.request("infer.request.tenant-1.by-nats", JSON.stringify({ user_id: "u", input: "test", budget: 1, webhook: true }));
  await nats.close();
  await receiver.until("/hook", 2);
  expect(eventOf("asked").map(({ event }) => event.data)).toEqual([asked]);
  expect(eventOf("by-nats").map(({ event }) => event.data.outcome)).toEqual(["completed"]);
  expect([silent.tenant_id, eventOf("silent")]).toEqual(["tenant-1", []]);
});

test("what is asked at /v1 tells of its outcome where it says so, streamed or not", async () => {
  const before = receiver.received("/hook").length;
  const ask = (id: string, stream: boolean, headers: Record<string, string>) => fetch(`${system.url("gateway")}/v1/chat/completions`, {
    method: "POST", headers: { "content-type": "application/json", "x-optimizer-tenant": "tenant-1", "idempotency-key": id, ...headers },
    body: JSON.stringify({ model: "auto", stream, messages: [{ role: "user", content: "test" }] }),
  }).then((response) => response.text());
  await ask("v1-silent", false, {});
  await ask("v1-whole", false, { "x-optimizer-webhook": "true" });
  await ask("v1-streamed", true, { "x-optimizer-webhook": "true" });
  await receiver.until("/hook", before + 2);
  expect(["v1-silent", "v1-whole", "v1-streamed"].map((id) => eventOf(id).map(({ event }) => event.type))).toEqual([[], ["request.completed"], ["request.completed"]]);
});

test("a sender that is killed before it knows whether it was taken sends it again under the same id", async () => {
  let isHeld = true;
  receiver.answer("/hook", (res) => { if (!isHeld) res.writeHead(204).end(); });
  const before = receiver.received("/hook").length;
  await postJson(`${system.url("gateway")}/infer`, { ...body("killed", "test"), webhook: true });
  await receiver.until("/hook", before + 1);
  await system.signal("webhook-sender", "SIGKILL");
  isHeld = false;
  await system.up();
  await receiver.until("/hook", before + 2, 60_000); // its lease ends first
  const ids = eventOf("killed").map(({ id }) => id);
  expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
});
