import { expect, it } from "vitest";

import type { LaneLoad, Load } from "#shared/contracts/load.ts";

import { makeKnownWork } from "./knownWork.ts";

const lane = (open: number, openOf: [string, number][], rate: LaneLoad["rate"] = { ends_per_s: 10, service_ms: 5 }): LaneLoad => ({ open, slots: 8, rate, tenants: openOf.length, open_of: openOf });
const load = (interactive: LaneLoad): Load => ({ type: "load.v1", lanes: { interactive, batch: lane(0, []) }, fullest_share: 0.5 });

function world() {
  const clock = { ms: 0 };
  const known = makeKnownWork(() => clock.ms);
  const told = () => {
    const work = known.work();
    if (work === null) return null;
    const { open, tenants, openOf, rate } = work.lanes.interactive;
    return { open, tenants, t1: openOf("t1"), t2: openOf("t2"), rate };
  };
  return { ...known, clock, told };
}

it("knows nothing before a router was heard, and for long after the last one", () => {
  const { heard, clock, told } = world();
  expect(told()).toBeNull();
  heard(load(lane(3, [["t1", 3]])));
  clock.ms = 5_000;
  expect(told()).toMatchObject({ open: 3 });
  clock.ms = 5_001;
  expect(told()).toBeNull();
});

it("adds what this gateway let in since, until a router tells anew", () => {
  const { heard, letIn, told } = world();
  heard(load(lane(3, [["t1", 3]])));
  letIn("t1", "interactive");
  letIn("t2", "interactive");
  letIn("t2", "interactive");
  letIn("t2", "batch");
  expect(told()).toEqual({ open: 6, tenants: 2, t1: 4, t2: 2, rate: { endsPerS: 10, serviceMs: 5 } });
  heard(load(lane(5, [["t2", 5]])));
  expect(told()).toMatchObject({ open: 5, tenants: 1, t1: 0, t2: 5 });
});

it("does not let a router that has just started hide what another one has measured", () => {
  const { heard, clock, told } = world();
  heard(load(lane(3, [["t1", 3]])));
  heard(load(lane(900, [], null)));
  expect(told()).toMatchObject({ open: 3 });
  clock.ms = 1_000;
  heard(load(lane(900, [], null)));
  expect(told()).toMatchObject({ open: 900, rate: null });
});
