import { describe, expect, it } from "vitest";

import { afterAnswer, afterFailure, chooseReplica, type Load, loadCosts, type Peak, rendezvous } from "./replicas.ts";

const at = (ms: number, atMs = 0): Peak => ({ ms, atMs });
const load = (name: string, outstanding: number, peak: Peak): Load => ({ name, outstanding, peak });

describe("what is known of a replica's latency", () => {
  it.each([
    ["the first answer's, as it is", null, 80, 0, 80],
    ["a slower answer's at once", at(50), 400, 1, 400],
    ["the same after a quick answer in the same moment", at(400), 10, 0, 400],
    ["half of each after one half-life", at(400), 100, 10_000, 250],
    ["the quick answer's in the end", at(400), 100, 1_000_000, 100],
    ["no less when the clock goes back", at(400, 5_000), 100, 0, 400],
  ])("is %s", (_name, peak, latencyMs, nowMs, ms) => {
    expect(afterAnswer(peak, latencyMs, nowMs)).toEqual({ ms: expect.closeTo(ms, 6) as number, atMs: nowMs });
  });

  it.each([
    ["not made better by a quick failure", at(50), 1, at(50)],
    ["made worse by a slow one", at(50), 900, at(900, 7)],
    ["not known from a quick failure", null, 1, null],
    ["known from a call that hung", null, 900, at(900, 7)],
  ])("is %s", (_name, peak, latencyMs, after) => {
    expect(afterFailure(peak, latencyMs, 7, 100)).toEqual(after);
  });
});

describe("loadCosts", () => {
  it("counts one more call with those that run, each as slow as the slowest of late", () => {
    expect([...loadCosts([load("a", 0, at(100)), load("b", 3, at(20))], 0, 500)]).toEqual([["a", 100], ["b", 80]]);
  });

  it("forgets a slow answer in time, so that who gave it is tried again", () => {
    const loads = [load("slow", 0, at(800)), load("quick", 0, at(100, 30_000))];
    expect([...loadCosts(loads, 30_000, 500).values()]).toEqual([100, 100]);
  });

  it("takes one that has not answered yet for as quick as the quickest, or as the prior where none has", () => {
    expect([...loadCosts([load("new", 1, null), load("b", 0, at(20)), load("c", 0, at(30))], 0, 500).values()]).toEqual([40, 20, 30]);
    expect([...loadCosts([load("a", 0, null), load("b", 1, null)], 0, 500).values()]).toEqual([500, 1_000]);
  });
});

describe("chooseReplica", () => {
  const costs = new Map([["a", 10], ["b", 20], ["c", 30]]);
  const choose = (over: Partial<Parameters<typeof chooseReplica>[0]> = {}) => chooseReplica({ costs, avoid: new Set(), affinity: null, draws: [0, 0], ...over });

  it.each([
    [[0, 0], "a"], [[0, 0.5], "a"], [[0.34, 0], "a"], [[0.34, 0.5], "b"], [[0.67, 0], "a"], [[0.67, 0.5], "b"], [[0.999, 0.999], "b"],
  ] as const)("takes the less loaded of the two that %j draws", (draws, name) => {
    expect(choose({ draws })).toBe(name);
  });

  it("never takes the most loaded, and does take others than the least loaded", () => {
    const taken = new Set<string | null>();
    for (let i = 0; i < 10; i++) for (let j = 0; j < 10; j++) taken.add(choose({ draws: [i / 10, j / 10] }));
    expect([...taken].sort()).toEqual(["a", "b"]);
  });

  it.each([
    ["another than the one that has failed", ["a"], "b"],
    ["the only one that has not", ["a", "b"], "c"],
    ["one of them all when all have failed", ["a", "b", "c"], "a"],
  ])("asks %s", (_name, avoid, name) => {
    expect(choose({ avoid: new Set(avoid) })).toBe(name);
  });

  it("has nobody to ask when none may be called", () => {
    expect(choose({ costs: new Map() })).toBeNull();
    expect(choose({ costs: new Map(), affinity: { key: "k", maxCostRatio: () => 2 } })).toBeNull();
  });

  describe("for a conversation", () => {
    const home = rendezvous("k", ["a", "b", "c"]) ?? "";
    const loaded = (cost: number) => new Map([...costs.keys()].map((name) => [name, name === home ? cost : 10]));
    const affinity = (ratio: number) => ({ key: "k", maxCostRatio: () => ratio });

    it("stays with its own replica while that one's load is not too much more than another's", () => {
      expect(choose({ costs: loaded(20), affinity: affinity(2) })).toBe(home);
    });

    it("leaves it when it is", () => {
      expect(choose({ costs: loaded(20.1), affinity: affinity(2) })).not.toBe(home);
    });

    it("stays for longer where leaving costs more", () => {
      expect(choose({ costs: loaded(79), affinity: affinity(8) })).toBe(home);
    });

    it("has one and the same other replica while its own is away or has failed", () => {
      const others = [...costs.keys()].filter((name) => name !== home);
      const second = rendezvous("k", others);
      expect(choose({ costs: new Map(others.map((name) => [name, 10])), affinity: affinity(2) })).toBe(second);
      expect(choose({ costs: loaded(10), avoid: new Set([home]), affinity: affinity(2) })).toBe(second);
    });

    it("stays with the only one there is", () => {
      expect(choose({ costs: new Map([["a", 1e9]]), affinity: affinity(2) })).toBe("a");
    });
  });
});

describe("rendezvous", () => {
  const keys = Array.from({ length: 3_000 }, (_, i) => `conversation ${i}`);
  const names = ["a", "b", "c", "d", "e"];
  const homes = (of: readonly string[]) => keys.map((key) => rendezvous(key, of));

  it("says the same whatever the order of the names", () => {
    expect(homes([...names].reverse())).toEqual(homes(names));
  });

  it("gives each about its share", () => {
    const found = homes(names);
    for (const name of names) expect(found.filter((home) => home === name).length / keys.length).toBeCloseTo(1 / 5, 1);
  });

  it("moves only the keys of a replica that goes, and gives one that comes about its share", () => {
    const before = homes(names), without = homes(names.slice(1)), withMore = homes([...names, "f"]);
    expect(before.every((home, i) => home === "a" || home === without[i])).toBe(true);
    const moved = before.flatMap((home, i) => (home === withMore[i] ? [] : [withMore[i]]));
    expect(new Set(moved)).toEqual(new Set(["f"]));
    expect(moved.length / keys.length).toBeCloseTo(1 / 6, 1);
  });
});
