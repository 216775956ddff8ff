import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { InferEvent } from "#shared/contracts/reply.ts";

const BODY = { tenant_id: "t1", user_id: "u", input: "Is this spam?", budget: 1 };
let gateway: TestGateway;
beforeAll(async () => { gateway = await startTestGateway(); });
afterAll(() => gateway.close());
beforeEach(() => { gateway.play(({ complete }) => complete()); });

const ask = (body: object, headers: Record<string, string> = { accept: "text/event-stream" }) =>
  fetch(new URL("/infer", gateway.url), { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
const eventsOf = (text: string) => text.split("\n\n").filter((frame) => frame !== "").map((frame) => {
  const [, type, data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(frame) ?? [];
  const event = InferEvent.parse(JSON.parse(data));
  expect(event.type).toBe(type);
  return event;
});

describe("POST /infer with Accept: text/event-stream", () => {
  it("is pieces as they come, then the record that the same request has without a stream", async () => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "sp" }]); piece(1, [{ text: "am" }]); await complete(); });
    const response = await ask({ ...BODY, request_id: "s-1" });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const events = eventsOf(await response.text());
    expect(events.map((event) => (event.type === "token" ? event.delta.text : event.type))).toEqual(["sp", "am", " 🌍", "outcome"]);
    expect(events.at(-1)).toEqual({ type: "outcome", request: await (await ask({ ...BODY, request_id: "s-1" }, {})).json() });
    expect(gateway.requests.at(-1)).toMatchObject({ request_id: "s-1", stream: true });
  });

  it("is a plain reply where nothing was shown before it failed", async () => {
    const invalid = await ask({ ...BODY, budget: -1 });
    expect([invalid.status, invalid.headers.get("content-type")]).toEqual([400, "application/json; charset=utf-8"]);
    gateway.play(({ complete }) => complete({ outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }));
    const failed = await ask(BODY);
    expect([failed.status, await failed.json()]).toMatchObject([503, { error: { code: "backend_unavailable", retryable: false }, request: { outcome: "failed" } }]);
  });

  it("ends in an error with the record when the request fails after a piece", async () => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "sp" }]); await complete({ outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }); });
    const events = eventsOf(await (await ask({ ...BODY, request_id: "s-2" })).text());
    expect(events).toMatchObject([{ type: "token" }, { type: "error", error: { code: "backend_unavailable", retryable: false }, request_id: "s-2", request: { outcome: "failed" } }]);
  });

  it("ends in an error when what was shown is not the answer that was kept", async () => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "ham" }]); await complete(); });
    const events = eventsOf(await (await ask({ ...BODY, request_id: "s-3" })).text());
    expect(events).toMatchObject([{ type: "token" }, { type: "error", error: { code: "stream_broken", retryable: true }, request_id: "s-3" }]);
    expect(events[1]).not.toHaveProperty("request");
  });

  it("explains when asked to, and does not wait with respond-async", async () => {
    const events = eventsOf(await (await ask({ ...BODY, explain: true })).text());
    expect(events.at(-1)).toMatchObject({ type: "outcome", request: { decision: { steps: [{ facts: {} }, {}, {}] } } });
    gateway.play(() => undefined);
    expect((await ask(BODY, { accept: "text/event-stream", prefer: "respond-async" })).status).toBe(202);
  });
});
