/**
 * What the whole design rests on: messages come more than once and in any order, routers disagree, and the broker keeps
 * the first message of a subject. Whatever the schedule, a request ends once.
 */
import fc from "fast-check";
import { expect, it } from "vitest";

import type { Step } from "#shared/contracts/decision.ts";
import { type Attempt, type Completion, Job, Result, type SagaMessage } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { subjectOf } from "#shared/messaging/topology.ts";

import { advance, type MachineEvent, newSaga, Saga, spentOn } from "./inferenceMachine.ts";
import { messagesAfter, readSaga } from "./messagesAfter.ts";

const REQUEST = Job.parse(fixture).request;
const BASELINE = readSaga(fixture.saga).context.baseline;
const TIERS = ["small", "medium", "large"];
const OCCASION = { nowMs: REQUEST.accepted_at_ms + 1, traceId: "t" };
const RUNS = { numRuns: 60 };

const decided = (after_attempt: number, step: Step): MachineEvent =>
  ({ type: "DECIDED", decision: { after_attempt, policy: "cascade", facts: { at_ms: 1, quotes: [], min_on_time: 0.95 }, step } });
const run = (after: number, tier: string) => decided(after, { kind: "run", tier, acceptance: { min_confidence: 0.8 }, excluded: {} });
const stop = (after: number) => decided(after, { kind: "stop", reason: "tiers_exhausted", excluded: {} });

interface Behaviour {
  readonly fails: boolean;
  readonly isSound: boolean;
  readonly confidence: number;
  readonly cost: number;
}
const behaviour: fc.Arbitrary<Behaviour> = fc.record({ fails: fc.boolean(), isSound: fc.boolean(), confidence: fc.double({ min: 0, max: 1, noNaN: true }), cost: fc.nat(10 ** 12) });

function resultOf(attempt: number, tier: string, { fails, isSound, confidence, cost }: Behaviour): MachineEvent {
  const outcome: Attempt["outcome"] = fails ? { kind: "failed", code: "backend_unavailable", message: "m" } : { kind: "answered", is_sound: isSound, confidence, confidence_source: "prior" };
  const result = { attempt, tier, model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(cost), cost_is_partial: false, outcome };
  return { type: "RESULT", result, output: fails ? null : `answer of ${tier}` };
}

/** What services do with a message, over a broker that keeps the first message of a subject. */
function simulate(schedule: readonly number[], choices: readonly number[], behaviours: readonly Behaviour[]) {
  const stored = new Map<string, SagaMessage>();
  const handled = new Set<string>();
  let published = 0, calls = 0;
  const emit = (messages: readonly SagaMessage[]) => {
    for (const message of messages) {
      if (message.type === "completion.v1") published++;
      const subject = subjectOf("infer", message);
      if (!stored.has(subject)) stored.set(subject, JSON.parse(JSON.stringify(message)) as SagaMessage);
    }
  };
  const route = (saga: Saga) => {
    const { attempt } = saga.context;
    const tier = TIERS[(choices[calls++ % choices.length] ?? 0) % TIERS.length] ?? "small"; // routers see other live states
    emit(messagesAfter(REQUEST, saga, attempt < 3 ? run(attempt, tier) : stop(attempt), OCCASION));
  };
  const work = ({ attempt, tier, saga }: Job) => {
    const how = behaviours[calls++ % behaviours.length] ?? { fails: true, isSound: false, confidence: 0, cost: 0 };
    emit(messagesAfter(REQUEST, readSaga(saga), resultOf(attempt, tier, how), OCCASION));
  };
  const deliver = (subject: string) => {
    handled.add(subject);
    if (subject === "request") { route(newSaga(BASELINE)); return; }
    const message = stored.get(subject);
    if (message?.type === "job.v1") work(Job.parse(message));
    if (message?.type === "result.v1") route(readSaga(Result.parse(message).saga));
  };
  const all = () => ["request", ...[...stored].filter(([, { type }]) => type !== "completion.v1").map(([subject]) => subject)];
  for (const pick of schedule) deliver(all()[pick % all().length] ?? "request");
  for (let left = all(); left.length > 0; left = all().filter((subject) => !handled.has(subject))) left.forEach(deliver);
  return { completions: [...stored.values()].filter((message): message is Completion => message.type === "completion.v1"), published };
}

it("ends a request exactly once, however often and in whatever order its messages come", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 25 }), fc.array(fc.nat(2), { minLength: 1 }), fc.array(behaviour, { minLength: 1 }), (schedule, choices, behaviours) => {
      const { completions, published } = simulate(schedule, choices, behaviours);
      expect(published).toBeGreaterThanOrEqual(1);
      expect(completions).toHaveLength(1);
    }),
    RUNS,
  );
});

it("charges exactly the attempts that it names, each attempt once, and answers or says why not", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 25 }), fc.array(fc.nat(2), { minLength: 1 }), fc.array(behaviour, { minLength: 1 }), (schedule, choices, behaviours) => {
      const [completion] = simulate(schedule, choices, behaviours).completions;
      const attempts = completion?.attempts ?? [];
      expect(completion?.cost_nano_usd).toBe(attempts.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0));
      expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, i) => i + 1));
      expect(completion?.output === null).toBe(completion?.error !== null);
      expect(completion?.outcome === "failed").toBe(completion?.error !== null);
    }),
    RUNS,
  );
});

it("comes to one and the same end of one saga, whatever stale events are mixed in", () => {
  const sure: Behaviour = { fails: false, isSound: true, confidence: 0.9, cost: 5 };
  const ends = [
    [run(0, "small"), resultOf(1, "small", sure)],
    [run(0, "small"), resultOf(1, "small", { ...sure, confidence: 0.1 }), run(1, "large"), resultOf(2, "large", sure)],
    [run(0, "small"), resultOf(1, "small", { ...sure, fails: true }), run(1, "large"), resultOf(2, "large", { ...sure, isSound: false }), stop(2)],
    [stop(0)],
  ];
  const play = (events: readonly MachineEvent[]) => {
    let now: ReturnType<typeof advance> = { ...newSaga(BASELINE), commands: [] };
    let completions = 0;
    for (const event of events) {
      if (!Saga.shape.state.safeParse(now.state).success) break; // ended: it does not travel any more
      const before = spentOn(now.context);
      now = advance(Saga.parse(JSON.parse(JSON.stringify(now))), event);
      completions += now.commands.filter((command) => command === "publishCompletion").length;
      expect(spentOn(now.context)).toBeGreaterThanOrEqual(before);
    }
    return { state: now.state, context: now.context, completions };
  };
  for (const events of ends) {
    const expected = play(events);
    expect(expected.completions).toBe(1);
    fc.assert(fc.property(fc.array(fc.nat(events.length - 1), { maxLength: 30 }), (early) => {
      expect(play([...early.flatMap((i) => events[i] ?? []), ...events])).toEqual(expected);
    }), { numRuns: 25 });
  }
});
