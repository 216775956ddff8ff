import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { makeOpenRequests } from "./openRequests.ts";

it("has open what was accepted and is not terminal, oldest first", () => {
  const fold = makeOpenRequests();
  fold.accepted("t.a", 1, 10);
  fold.accepted("t.b", 2, 20);
  fold.accepted("t.c", 3, 30);
  fold.terminal("t.a", 100);
  expect([...fold.open()]).toEqual([["t.b", { seq: 2, storedAtMs: 20, deadlineAtMs: null }], ["t.c", { seq: 3, storedAtMs: 30, deadlineAtMs: null }]]);
  expect([fold.counts(), fold.oldestMs()]).toEqual([{ accepted: 3, terminal: 1, open: 2 }, 20]);
});

it("takes a completion that is seen before its request", () => {
  const fold = makeOpenRequests();
  fold.terminal("t.a", 5);
  expect(fold.counts()).toEqual({ accepted: 0, terminal: 0, open: 0 });
  fold.accepted("t.a", 1, 10);
  expect(fold.counts()).toEqual({ accepted: 1, terminal: 1, open: 0 });
  expect(fold.oldestMs()).toBeNull();
});

describe("completions without a request", () => {
  it("are not kept where they say so, and end a request that is open all the same", () => {
    const fold = makeOpenRequests();
    fold.accepted("t.a", 1, 10);
    fold.terminal("t.a", 11, { isWithoutRequest: true });
    fold.terminal("t.b", 12, { isWithoutRequest: true });
    fold.accepted("t.b", 2, 20);
    expect([fold.counts(), [...fold.open()].map(([key]) => key)]).toEqual([{ accepted: 2, terminal: 1, open: 1 }, ["t.b"]]);
  });

  it("are forgotten after a while, and not before", () => {
    const fold = makeOpenRequests();
    fold.terminal("t.old", 10);
    fold.terminal("t.new", 20);
    fold.forgetEarly(20);
    fold.accepted("t.old", 1, 1);
    fold.accepted("t.new", 2, 2);
    expect([...fold.open()].map(([key]) => key)).toEqual(["t.old"]);
  });
});

it("keeps accepted = terminal + open at any time, and forgets none, under any interleaving of both streams", () => {
  const ids = fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 15 });
  fc.assert(fc.property(ids, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }), (keys, turns, isDone) => {
    const fold = makeOpenRequests();
    const requests = keys.map((key, i) => () => { fold.accepted(`t.${key}`, i + 1, i); });
    const completions = keys.filter((_, i) => isDone[i]).map((key, i) => () => { fold.terminal(`t.${key}`, i); });
    const check = () => {
      const { accepted, terminal, open } = fold.counts();
      expect(accepted).toBe(terminal + open);
      expect([...fold.open()]).toHaveLength(open);
    };
    for (const turn of turns) {
      (turn ? requests : completions).shift()?.(); // each stream in its order, one against the other in any
      check();
    }
    for (const event of [...requests, ...completions]) {
      event();
      check();
    }
    expect([...fold.open()].map(([key]) => key)).toEqual(keys.filter((_, i) => !isDone[i]).map((key) => `t.${key}`));
  }), { numRuns: 50 });
});

it("counts a request that is ended twice once", () => {
  const fold = makeOpenRequests();
  fold.accepted("t.a", 1, 10);
  fold.terminal("t.a", 11); // closed by this sweeper
  fold.terminal("t.a", 12); // and heard of in COMPLETIONS
  fold.accepted("t.b", 2, 20);
  expect(fold.counts()).toEqual({ accepted: 2, terminal: 1, open: 1 });
});

it("tells of each request once as it opens and once as it ends, also of one whose end is seen first", () => {
  const told: unknown[] = [];
  const fold = makeOpenRequests({ opened: (key, lane, atMs) => told.push([key, lane, atMs]), ended: (key, { atMs, servedMs }) => told.push([key, atMs, servedMs]) });
  fold.accepted("t.a", 1, 10, "batch");
  fold.terminal("t.b", 100, { storedAtMs: 25, servedMs: 4 });
  fold.accepted("t.b", 2, 20);
  fold.terminal("t.a", 101, { storedAtMs: 30, servedMs: null });
  fold.terminal("t.a", 102);
  fold.terminal("t.c", 103, { isWithoutRequest: true });
  expect(told).toEqual([["t.a", "batch", 10], ["t.b", "interactive", 20], ["t.b", 25, 4], ["t.a", 30, null]]);
});
