/** `inferctl dlq` against a NATS server and a database of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { DeadLetter } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { completionSubject, requestSubject } from "#shared/messaging/topology.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";

import { callInferctl } from "../callInferctl.ts";

const DAY_MS = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), "infer-dlq-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let own: TestBroker;
let doomed: { seq: number; id: { tenant_id: string; request_id: string } };

const dlq = (...args: string[]) => callInferctl(["dlq", ...args], { DATABASE_URL: database.url, NATS_URL: own.url, INFER_HOME: folder });
const listed = async (...args: string[]) => (JSON.parse((await dlq("list", "--json", ...args)).printed) as { letters: { seq: number; letter: DeadLetter }[] }).letters.map(({ seq, letter }) => [seq, letter.reason]);
const letter: DeadLetter = { type: "dead_letter.v1", stream: "RESULTS", stream_seq: 77, subject: "infer.result.globex.r9.1", tenant_id: "globex", request_id: "r9", reason: "late_result", message: "another outcome was stored first", deliveries: 1, at_ms: Date.now() - 3 * DAY_MS, late_attempt: { attempt: 1, tier: "small", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: { input_tokens: 7, output_tokens: 9, source: "reported" }, cost_nano_usd: nanoUsd(1_500_000), cost_is_partial: false, outcome: { kind: "failed", code: "internal", message: "x" } } };

beforeAll(async () => {
  [database, own] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "cli_dlq"), startTestBroker([{ name: "small", slots: 1 }])]);
  const { acks, streams, publisher } = own.broker;
  const id = { tenant_id: "acme", request_id: "doomed" };
  const request = { user_id: "u", input: "what is it?", budget: 0.5, deadline_ms: 20_000, origin: "gateway-1", key_id: "k1", waited_ms: 5, metadata: { kind: "test" } };
  await acks.publish(requestSubject("infer", id), Buffer.from(JSON.stringify(request)), undefined);
  const stored = await streams.last("REQUESTS", requestSubject("infer", id));
  if (stored === null) throw new Error("not stored");
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile: loadTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" }) };
  await makeGiveUp({ publisher, prefix: "infer", limits, now: Date.now })({ subject: stored.subject, data: stored.data, stream: "REQUESTS", seq: stored.seq, storedAtMs: stored.time.getTime(), deliveries: 4, traceparent: null }, { code: "poison", message: "given up after 4 deliveries" });
  doomed = { seq: 1, id };
  await publisher.deadLetter(letter);
});
afterAll(async () => {
  await own.remove();
  await database.drop();
  rmSync(folder, { recursive: true });
});

it("lists what was given up, by stream, tenant, reason and age", async () => {
  expect(await listed()).toEqual([[2, "late_result"], [1, "poison"]]);
  expect([await listed("--stream", "REQUESTS"), await listed("--tenant", "globex"), await listed("--reason", "poison"), await listed("--since", "2100-01-01")]).toEqual([[[1, "poison"]], [[2, "late_result"]], [[1, "poison"]], []]);
  const { printed } = await dlq("list");
  expect(printed).toMatch(/^2\s+3 d\s+RESULTS\s+globex\s+r9\s+late_result/m);
  expect(printed).toMatch(/^1\s+\d+ s\s+REQUESTS\s+acme\s+doomed\s+poison\s+given up after 4 deliveries$/m);
});

it("shows where the payload lies, the last error and what was paid, and no prompt", async () => {
  const [one, two] = [(await dlq("show", "1")).printed, (await dlq("show", "2")).printed];
  expect(one).toMatch(/given up\s+REQUESTS #1, infer\.request\.acme\.doomed, after 4 deliveries[^]*poison: given up after 4[^]*payload\s+\d+ bytes, stored [^]*nats stream get REQUESTS 1[^]*outcome\s+failed \(poison/);
  expect(one).not.toContain("what is it?");
  expect(two).toMatch(/payload\s+gone[^]*late run\s+attempt 1 on small, 7 tokens in, 9 out \(reported\), 0\.00150\d* USD/);
});

it("sends the request again under an id of its own, once, and marks the letter", async () => {
  expect((await dlq("retry", "1")).printed).toContain("sent again as request dlq-1 of tenant acme");
  const again = await own.broker.streams.last("REQUESTS", requestSubject("infer", { ...doomed.id, request_id: "dlq-1" }));
  expect(again?.json()).toEqual({ type: "request.v1", tenant_id: "acme", request_id: "dlq-1", origin: "direct", user_id: "u", input: "what is it?", budget: 0.5, deadline_ms: 20_000, metadata: { kind: "test" } });
  expect((await dlq("retry", "1")).printed).toContain("was sent again before");
  expect((await own.broker.jsm.streams.info("REQUESTS")).state.messages).toBe(2);
  expect([await listed(), await listed("--all")]).toEqual([[[2, "late_result"]], [[2, "late_result"], [1, "poison"]]]);
});

it("sends nothing where there is nothing to send, or where it was answered", async () => {
  expect(await dlq("retry", "2")).toMatchObject({ code: 64, errors: expect.stringContaining("keeps what a late run cost") as string });
  const id = { tenant_id: "acme", request_id: "aged" };
  await own.broker.publisher.deadLetter({ ...letter, stream: "JOBS", subject: "infer.job.small.acme.aged.1", ...id, late_attempt: null, reason: "poison" });
  expect(await own.broker.streams.last("COMPLETIONS", completionSubject("infer", id))).toBeNull();
  expect(await dlq("retry", "3")).toMatchObject({ code: 64, errors: expect.stringContaining("payload of dead letter 3 is gone") as string });
  expect(await listed()).toEqual([[3, "poison"], [2, "late_result"]]);
});

it("discards with a note, which the history of the tenant has", async () => {
  await dlq("discard", "3", "--note", "its caller asked again");
  await dlq("discard", "2");
  expect(await listed()).toEqual([]);
  const { changes } = JSON.parse((await callInferctl(["tenants", "history", "acme", "--json"], { DATABASE_URL: database.url, INFER_HOME: folder })).printed) as { changes: { action: string; change: Record<string, unknown> }[] };
  expect(changes.map(({ action }) => action)).toEqual(["dead_letter.discard", "dead_letter.retry", "dead_letter.retry"]);
  expect(changes[0]?.change).toMatchObject({ request_id: "aged", note: "its caller asked again" });
});

it.each([
  [["list", "1"], "list takes no number"], [["show"], "say which dead letter"], [["retry", "x"], "not x"], [["show", "99"], "holds no message 99"], [["list", "--since", "soon"], "--since must be"],
  [["list", "--stream", "a.b"], "--stream"], [["list", "--tenant", "a.*"], "--tenant"], [["retry", "1", "--reason", "poison"], "--reason does not go with retry"], [["list", "--note", "x"], "--note does not go with list"], [["purge"], 'no "dlq purge"'],
])("%j says what is wrong", async (args, message) => {
  expect(await dlq(...args)).toMatchObject({ code: 64, errors: expect.stringContaining(message) as string });
});

it("says that NATS cannot be reached", async () => {
  expect(await callInferctl(["dlq", "list", "--all"], { NATS_URL: "nats://127.0.0.1:9", INFER_HOME: folder })).toMatchObject({ code: 69, errors: expect.stringContaining("NATS cannot be reached") as string });
});
