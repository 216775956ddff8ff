import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { fingerprintOf } from "#shared/messaging/readRequest.ts";

import { type FindAskedDeps, makeFindAsked } from "./findAsked.ts";

const MESSAGE = { user_id: "u", input: "from REQUESTS", budget: 1, deadline_ms: 7_000 };
const EVENT = Completion.parse({ ...fixture, tenant_id: "t1", request_id: "r-1", accepted_at_ms: 1_000_000, fingerprint: fingerprintOf({ ...MESSAGE }), input: undefined });
const stored = (body: object) => ({ data: new TextEncoder().encode(JSON.stringify(body)) }) as Awaited<ReturnType<FindAskedDeps["streams"]["last"]>>;
const find = (over: Partial<FindAskedDeps>, completion: Completion = EVENT) => makeFindAsked({ file: null, streams: { last: () => Promise.resolve(stored(MESSAGE)) }, prefix: "infer", now: () => 1_001_000, ...over })(completion);
const file = (input: string | null) => ({ find: () => Promise.resolve(input) });
const NONE = { last: () => Promise.resolve(null) };

it.each<[string, Partial<FindAskedDeps>, Completion, string | null]>([
  ["the file that was named, before all", { file: file("from the file") }, { ...EVENT, input: "kept" }, "from the file"],
  ["the event, where the tenant's prompts are stored", { file: file(null) }, { ...EVENT, input: "kept" }, "kept"],
  ["REQUESTS, as long as that has it", {}, EVENT, "from REQUESTS"],
  ["nowhere, of another request that took the id", { streams: { last: () => Promise.resolve(stored({ ...MESSAGE, input: "other" })) } }, EVENT, null],
  ["nowhere, where REQUESTS holds what cannot be read", { streams: { last: () => Promise.resolve(stored({ input: 7 })) } }, EVENT, null],
  ["nowhere, where nobody kept it", { streams: NONE }, EVENT, null],
])("takes what was asked from %s", async (_what, over, completion, expected) => {
  expect((await find(over, completion))?.input ?? null).toBe(expected);
});

it("does not ask REQUESTS about what is too old to be there", async () => {
  expect(await find({ now: () => 1_000_000 + 3_600_001, streams: { last: () => Promise.reject(new Error("asked")) } })).toBeNull();
});

it("has all terms of the message beside an input from elsewhere", async () => {
  expect(await find({ file: file("from the file") })).toMatchObject({ input: "from the file", message: { deadline_ms: 7_000 } });
});
