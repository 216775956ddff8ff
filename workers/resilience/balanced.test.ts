import { afterEach, beforeEach, expect, it, vi } from "vitest";

import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { replicasOf, TierFile } from "#shared/contracts/tiers.ts";
import { BackendError } from "#workers/backends/backendError.ts";

import { balanced } from "./balanced.ts";

beforeEach(() => { vi.useFakeTimers({ now: 1_000_000 }); });
afterEach(() => { vi.useRealTimers(); });

const [SMALL] = tierFixture.tiers;
const server = { call: () => Promise.reject(new Error("nobody calls it")), close: async () => undefined };
function world(names: readonly string[]) {
  const replicas = names.map((name) => ({ name, backend: SMALL?.backend }));
  const tiers = TierFile.parse({ ...tierFixture, tiers: tierFixture.tiers.map((tier) => (tier === SMALL ? { ...tier, backend: undefined, replicas, breaker: { failures_in_a_row: 2, open_for_ms: 1_000 } } : tier)) }).tiers;
  const [tier] = tiers;
  if (tier === undefined) throw new Error("the fixture has a tier");
  const called: string[] = [], ejected: string[] = [];
  const made = balanced(tier, replicasOf(tier).map((replica) => ({ ...replica, server })), {
    onChange: () => undefined, now: Date.now, random: () => 0,
    observe: { called: (name) => void called.push(name), ejected: (name) => void ejected.push(name) },
  });
  const call = (run: (name: string) => Promise<string>, avoid: readonly string[] = []) => made.call({ tenantId: "t1", input: "x", avoid: new Set(avoid) }, ({ name }) => run(name)).catch((error: unknown) => error);
  const down = async () => Promise.reject(new BackendError("backend_unavailable", "down", { isTransient: true }));
  return { made, called, ejected, call, down };
}

it("sends a call to whom fewer run at, and counts them until they end", async () => {
  const { made, call, called } = world(["a", "b"]);
  const ends: ((answer: string) => void)[] = [];
  const running = [1, 2, 3, 4].map(() => call(() => new Promise((resolve) => { ends.push(resolve); })));
  expect([called.filter((name) => name === "a").length, made.loads().map(({ outstanding }) => outstanding)]).toEqual([2, [2, 2]]);
  for (const end of ends) end("answer");
  await Promise.all(running);
  expect(made.loads().map(({ outstanding }) => outstanding)).toEqual([0, 0]);
});

it("leaves out who fails, is healthy while another is, and takes it back after one good trial call", async () => {
  const { made, call, called, ejected, down } = world(["a", "b"]);
  await call(down, ["b"]);
  await call(down, ["b"]);
  expect([ejected, made.state()]).toEqual([["a"], { breaker: "closed", retry_in_ms: 0 }]);
  called.length = 0;
  for (let i = 0; i < 5; i++) await call(async () => "answer");
  expect(called).toEqual(["b", "b", "b", "b", "b"]);
  expect(made.hasOther(new Set(["b"]))).toBe(false);

  vi.advanceTimersByTime(1_000);
  expect(made.hasOther(new Set(["b"]))).toBe(true);
  called.length = 0;
  let end: (answer: string) => void = () => undefined;
  const trial = call(() => new Promise((resolve) => { end = resolve; }), ["b"]);
  await call(async () => "answer", ["b"]); // one trial at a time
  expect(called).toEqual(["a", "b"]);
  end("answer");
  await trial;
  await call(async () => "answer", ["b"]);
  expect([called, ejected]).toEqual([["a", "b", "a"], ["a"]]);
});

it("is open only while all are, until the first of them is due, and half open while a trial runs", async () => {
  const { made, call, called, down } = world(["a", "b"]);
  await call(down, ["b"]);
  await call(down, ["b"]);
  vi.advanceTimersByTime(400);
  await call(down, ["a"]);
  await call(down, ["a"]);
  expect(made.state()).toEqual({ breaker: "open", retry_in_ms: 600 });
  expect(await call(async () => "answer")).toMatchObject({ code: "backend_unavailable", isTransient: false, mayHaveCost: false });
  expect(called).toHaveLength(4);
  vi.advanceTimersByTime(600);
  let end: (answer: string) => void = () => undefined;
  const trial = call(() => new Promise((resolve) => { end = resolve; }));
  expect(made.state()).toEqual({ breaker: "half_open", retry_in_ms: 0 });
  end("answer");
  await trial;
  expect(made.state().breaker).toBe("closed");
});

it("calls one again as any other call of it: it is its load, opens its breaker, and is not sent while that is open", async () => {
  const { made, call, called, ejected, down } = world(["a", "b"]);
  const again = (run: () => Promise<string>) => made.callAgain({ name: "a" }, run).catch((error: unknown) => error);
  let end: (answer: string) => void = () => undefined;
  const running = again(() => new Promise((resolve) => { end = resolve; }));
  await call(async () => "answer");
  expect([called, made.loads().map(({ outstanding }) => outstanding)]).toEqual([["a", "b"], [1, 0]]);
  end("answer");
  expect([await running, made.loads().map(({ outstanding }) => outstanding)]).toEqual(["answer", [0, 0]]);

  await again(down);
  await again(down);
  expect([ejected, made.hasOther(new Set(["b"]))]).toEqual([["a"], false]);
  called.length = 0;
  expect([await again(async () => "answer"), called]).toMatchObject([{ code: "backend_unavailable", mayHaveCost: false }, []]);
});

it("does not take to one that fails quickly", async () => {
  const { made, call, down } = world(["a", "b"]);
  await call(async () => { vi.advanceTimersByTime(100); return "answer"; }, ["a"]);
  await call(down, ["b"]);
  expect(made.loads().map(({ name, peak }) => [name, peak?.ms])).toEqual([["a", undefined], ["b", 100]]);
});

it("goes past a replica that takes no more calls, and counts what all of them take together", async () => {
  const { made, call, called } = world(["a", "b"]);
  const busy = async () => Promise.reject(new BackendError("backend_unavailable", "429", { isTransient: true, isPushback: true }));
  const slots = made.limit();
  for (let i = 0; i < 40; i++) await call(async (name) => (name === "b" ? "answer" : await busy()));
  const atA = called.filter((name) => name === "a").length;
  const ends: (() => void)[] = [];
  const running = Array.from({ length: slots + 1 }, () => call(() => new Promise((resolve) => { ends.push(() => { resolve("answer"); }); }), []));
  expect([atA, slots, made.limit()]).toEqual([atA, slots, slots]);
  expect(made.loads().find(({ name }) => name === "a")?.outstanding).toBeLessThanOrEqual(1);
  for (const end of ends) end();
  await Promise.all(running);
});
