import { describe, expect, it } from "vitest";

import { Completion } from "./events.ts";
import fixture from "./fixtures/completion.v1.json" with { type: "json" };
import { toReply } from "./reply.ts";
import { eventsOf, placeOf, RequestEvent, stepsOf } from "./requestEvents.ts";

const DONE = Completion.parse(fixture);
const names = (events: readonly RequestEvent[]) => events.map(({ id, event }) => `${id} ${event}`);

describe("the events of a request", () => {
  it("tell each attempt's beginning and end in order, and then the record", () => {
    const events = eventsOf(DONE, {});
    expect(names(events)).toEqual(["0 accepted", "1 dispatched", "2 attempt_finished", "3 dispatched", "4 attempt_finished", "5 dispatched", "6 attempt_finished", "end completed"]);
    expect(events.map((event) => RequestEvent.parse(event))).toEqual(events);
    expect(events[0]?.data).toEqual({ request_id: "r-1", tenant_id: "t1", accepted_at_ms: DONE.accepted_at_ms });
    expect(events[1]?.data).toEqual({ attempt: 1, tier: "small", min_confidence: 0.9, despite: null, excluded: {} });
    expect(events[2]?.data).toMatchObject({ attempt: 1, tier: "small", outcome: "failed", confidence: null, cost_usd: 0 });
    expect(events[4]?.data).toMatchObject({ attempt: 2, tier: "medium", outcome: "answered", confidence: 0.62, cost_usd: 0.00003 });
    expect(events.at(-1)?.data).toEqual(toReply(DONE));
  });

  it("have what each decision knew with explain, and not without", () => {
    const explained = eventsOf(DONE, { explain: true });
    expect(explained[1]?.data).toMatchObject({ tier: "small", facts: DONE.decisions[0]?.facts });
    expect(explained.at(-1)?.data).toEqual(toReply(DONE, { explain: true }));
    expect(JSON.stringify(eventsOf(DONE, {}))).not.toContain('"facts"');
  });

  it("tell of an attempt that runs, of one that nobody finished, and of none at all", () => {
    expect(names(stepsOf({ ...DONE, attempts: DONE.attempts.slice(0, 1), decisions: DONE.decisions.slice(0, 2) }, {}))).toEqual(["0 accepted", "1 dispatched", "2 attempt_finished", "3 dispatched"]);
    expect(names(eventsOf({ ...DONE, outcome: "degraded", attempts: DONE.attempts.slice(0, 2) }, {}))).toEqual(["0 accepted", "1 dispatched", "2 attempt_finished", "3 dispatched", "4 attempt_finished", "5 dispatched", "end degraded"]);
    expect(names(eventsOf({ ...DONE, outcome: "failed", attempts: [], decisions: [] }, {}))).toEqual(["0 accepted", "end failed"]);
  });

  it("leave out decisions to stop", () => {
    const stop = { ...DONE.decisions[0], after_attempt: 3, step: { kind: "stop", reason: "budget", excluded: {} } } as (typeof DONE.decisions)[0];
    expect(names(eventsOf({ ...DONE, decisions: [...DONE.decisions, stop] }, {}))).toEqual(names(eventsOf(DONE, {})));
  });

  it.each([["0", 0], ["7", 7], ["198", 198], ["end", Infinity], ["", -1], [undefined, -1], ["-1", -1], ["1.5", -1], ["NaN", -1], ["99999", -1]])("with the id %j stand at place %d", (id, place) => {
    expect(placeOf(id)).toBe(place);
  });
});
