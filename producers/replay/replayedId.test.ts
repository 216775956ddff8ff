import { expect, it } from "vitest";

import { RequestId } from "#shared/contracts/ids.ts";

import { isOfRun, replayedId, RunId } from "./replayedId.ts";

const from = (request_id: string, tenant_id = "acme") => ({ tenant_id, request_id });
const LONGEST = "x".repeat(64);

it.each([
  ["a short id", from("r-1"), "acme", "replay-run1-r-1"],
  ["the longest id that fits", from("x".repeat(52)), "acme", `replay-run1-${"x".repeat(52)}`],
])("keeps %s readable", (_what, id, tenant, expected) => {
  expect(replayedId("run1", id, tenant)).toBe(expected);
});

it.each([["an id that is too long", from(LONGEST), "acme"], ["an event of another tenant", from("r-1"), "beta"], ["an id that begins with a dash", from("-r"), "acme"]])("hashes %s, the same each time", (_what, id, tenant) => {
  expect(replayedId("run1", id, tenant)).toMatch(/^replay-run1--[A-Za-z0-9_-]{32}$/);
  expect(replayedId("run1", id, tenant)).toBe(replayedId("run1", id, tenant));
});

it("gives every event an id of its own that is a valid one, whatever tenants are put together", () => {
  const events = ["a", "b"].flatMap((tenant) => ["r", "-r", LONGEST, "replay-run1-r", replayedId("run1", from("r", "b"), "a").slice("replay-run1-".length)].map((id) => from(id, tenant)));
  for (const run of ["run1", "R".repeat(16)]) {
    const ids = events.map((event) => replayedId(run, event, "a"));
    expect(new Set(ids).size).toBe(events.length);
    for (const id of ids) expect(RequestId.safeParse(id).success).toBe(true);
  }
});

it("tells a run's own events from those of another, also of one whose name begins alike", () => {
  expect(isOfRun("run1", replayedId("run1", from("r"), "acme"))).toBe(true);
  expect(isOfRun("run", replayedId("run1", from("r"), "acme"))).toBe(false);
  expect(isOfRun("run1", "r")).toBe(false);
  expect(RunId.safeParse("run-1").success).toBe(false);
});
