import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { errorOf, postJson, recordOf } from "#infra/e2e/callers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { fingerprintOf } from "#shared/messaging/readRequest.ts";

import { IdempotencyKey } from "./idempotencyKey.ts";

const BODY = { tenant_id: "t1", user_id: "u-1", input: "hi", budget: 1 };
let gateway: TestGateway;
let other: string;
const post = (key: string, content: object = BODY, url = gateway.url) => postJson(url.replace("/v1", "/infer"), content, { headers: { "idempotency-key": key } });
beforeAll(async () => {
  gateway = await startTestGateway({ INFER_SWEEP_GRACE_MS: "1" });
  other = await gateway.startAnother();
});
afterAll(() => gateway.close());

describe("a request that is named by an Idempotency-Key", () => {
  it("has the same answer at every gateway, by every spelling and by its id, and runs once", async () => {
    gateway.play(({ complete }) => complete());
    const first = await post('"order 66: again"');
    const before = gateway.requests.length;
    expect(first.status).toBe(200);
    for (const again of [await post("order 66: again"), await post('"order 66: again"', BODY, other), await post("order 66: again", { ...BODY, request_id: recordOf(first).request_id })]) expect([again.status, again.text]).toEqual([200, first.text]);
    const byId = await postJson(gateway.url.replace("/v1", "/infer"), { ...BODY, request_id: IdempotencyKey.parse("order 66: again") });
    expect(byId.text).toBe(first.text);
    expect(gateway.requests).toHaveLength(before);
  });

  it("is the same through OpenAI's door", async () => {
    const ask = { model: "auto", messages: [{ role: "user", content: "hi" }] };
    const call = () => postJson(`${gateway.url}/chat/completions`, ask, { headers: { "idempotency-key": "a/b" } });
    const first = await call();
    expect([first.status, first.headers.get("x-request-id")]).toEqual([200, IdempotencyKey.parse("a/b")]);
    expect((await call()).text).toBe(first.text);
  });

  it("with another body is a 422, in flight, after its end, and when COMPLETIONS alone remembers it", async () => {
    gateway.play(() => undefined);
    const flying = post("mismatch", { ...BODY, deadline_ms: 1_000 });
    await waitUntil(() => Promise.resolve(gateway.requests.some(({ deadline_ms }) => deadline_ms === 1_000) ? true : undefined), { deadlineMs: 5_000, describe: () => "it was not accepted" });
    const code = async (key: string) => [await post(key, { ...BODY, input: "other" })].map((answer) => [answer.status, errorOf(answer).code]);
    expect(await code("mismatch")).toEqual([[422, "idempotency_mismatch"]]);
    await flying;
    gateway.play(({ complete }) => complete());
    await post("ended");
    expect(await code("ended")).toEqual([[422, "idempotency_mismatch"]]);
    await gateway.emit(Completion.parse({ ...fixture, tenant_id: "t1", request_id: "old-1", fingerprint: fingerprintOf(BODY) }));
    expect(await code("old-1")).toEqual([[422, "idempotency_mismatch"]]);
    expect((await post("old-1")).status).toBe(200);
  });

  it.each<[string, string | null, Partial<Completion>]>([
    ["of which another request may fare better at once", "1", { error: { code: "backend_unavailable", message: "m" } }],
    ["for which a model's server asked to wait", "3", { error: { code: "backend_unavailable", message: "m" }, attempts: Completion.shape.attempts.parse([{ ...fixture.attempts[0], outcome: { kind: "failed", code: "backend_unavailable", message: "m", retry_after_ms: 2_500 } }]) }],
    ["for a limit", "2", { outcome: "rejected", error: { code: "rate_limited", message: "m", retry_after_ms: 1_200 } }],
    ["that no other try would end otherwise", null, { error: { code: "no_sound_answer", message: "m" } }],
  ])("that failed in a way %s has retry-after %s, each time that it is asked for", async (name, retryAfter, more) => {
    gateway.play(({ complete }) => complete({ outcome: "failed", output: null, tier: null, model: null, attempts: [], ...more }));
    for (const answer of [await post(name), await post(name), await post(name, BODY, other)]) {
      expect([answer.headers.get("retry-after"), errorOf(answer)]).toEqual([retryAfter, { ...more.error, retry_after_ms: undefined, retryable: false }]);
    }
  });

  it("is another tenant's own", async () => {
    gateway.play(({ complete, id }) => complete({ output: id.tenant_id }));
    const outputs = await Promise.all(["t8", "t9"].map(async (tenant_id) => recordOf(await post("one key", { ...BODY, tenant_id })).output));
    expect(outputs).toEqual(["t8", "t9"]);
  });

  it("without an outcome by its deadline is a 503 for who sent it first and a 409 for who joined it, here and elsewhere", async () => {
    gateway.play(() => undefined);
    const content = { ...BODY, input: "never answered", deadline_ms: 300 };
    const answers = [post("stuck", content)];
    await waitUntil(() => Promise.resolve(gateway.requests.some(({ input }) => input === "never answered") ? true : undefined), { deadlineMs: 5_000, describe: () => "it was not accepted" });
    answers.push(post("stuck", content), post("stuck", content, other));
    expect((await Promise.all(answers)).map((answer) => [answer.status, errorOf(answer), answer.headers.get("retry-after")])).toMatchObject([
      [503, { code: "outcome_pending", retryable: true }, "1"], [409, { code: "idempotency_in_progress", retryable: true }, "1"], [409, { code: "idempotency_in_progress", retryable: true }, "1"],
    ]);
  });
});
