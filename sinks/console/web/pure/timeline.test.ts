import { expect, it } from "vitest";

import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { Completion } from "#shared/contracts/events.ts";

import { timelineOf } from "./timeline.ts";

const completion = Completion.parse(completionFixture);

it("has each attempt and the time between, without a gap", () => {
  const spans = timelineOf(completion);
  expect(spans.map(({ label, kind }) => [label, kind])).toEqual([
    ["routed and queued", "wait"], ["attempt 1: small", "failed"], ["routed on and queued", "wait"], ["attempt 2: medium", "run"], ["routed on and queued", "wait"], ["attempt 3: large", "run"], ["outcome stored", "wait"],
  ]);
  expect(spans.slice(1).every(({ startMs }, i) => startMs === spans[i]?.endMs)).toBe(true);
  expect([spans[0]?.startMs, spans.at(-1)?.endMs]).toEqual([0, completion.completed_at_ms - completion.accepted_at_ms]);
});

it("never runs backwards, though a worker's clock is behind", () => {
  const [first, ...rest] = completion.attempts;
  if (first === undefined) throw new Error("the fixture has attempts");
  const spans = timelineOf({ ...completion, attempts: [{ ...first, started_at_ms: completion.accepted_at_ms - 5_000 }, ...rest] });
  expect(spans.every(({ startMs, endMs }) => startMs >= 0 && endMs >= startMs)).toBe(true);
});

it("says that nothing ran", () => {
  expect(timelineOf({ ...completion, attempts: [] }).map(({ label }) => label)).toEqual(["no attempt"]);
});
