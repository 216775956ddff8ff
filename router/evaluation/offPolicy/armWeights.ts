/**
 * Requests of an experiment were given to their arms by chance and with known shares. So for what an arm's requests could hold
 * they stand for those of an arm whose requests could not: each is weighted by 1 / the share of all arms that could. An arm that
 * leaves nothing to chance would else refuse all policies but its own, whatever another arm knows. Pure (ADR 0046).
 *
 * Within an arm a weight has the expectation 1 by that arm's own propensities, where the arm could hold the outcome. Over the arms that
 * could, of shares that add up to s, it has s times 1 / s.
 */
import type { Coverage } from "./coverage.ts";
import { MOST_IMPOSSIBLE } from "./overlap.ts";
import type { RecordedEvent } from "./recordedEvent.ts";

type Taught = Pick<RecordedEvent, "tenant_id" | "user_id" | "arm">;
/** By experiment and arm: what the weights of its requests are multiplied by. Absent: 1. JSON. */
type Factors = Readonly<Record<string, Readonly<Record<string, number>>>>;
export interface ArmWeights {
  readonly known: Factors;
  readonly judged: Factors;
}

/** By the first requests of a log, with what each holds of one candidate by its own arm's propensities. */
export function armWeights(events: readonly Taught[], coverages: readonly Coverage[]): ArmWeights {
  const arms = new Map<string, Map<string, ArmCounts>>();
  const isDrawnByRequest = drawnByRequest(events);
  for (const [place, { arm }] of events.entries()) {
    const coverage = coverages[place];
    if (arm === null || coverage === undefined || !isDrawnByRequest(arm.experiment_id)) continue;
    const ofExperiment = arms.get(arm.experiment_id) ?? new Map<string, ArmCounts>();
    arms.set(arm.experiment_id, ofExperiment);
    const counts = ofExperiment.get(arm.arm) ?? { share: arm.share, requests: 0, impossible: 0, impossibleToJudge: 0 };
    ofExperiment.set(arm.arm, counts);
    counts.requests++;
    counts.impossible += coverage.impossible;
    counts.impossibleToJudge += coverage.impossibleToJudge;
  }
  const factors = (impossible: (counts: ArmCounts) => number): Factors => Object.fromEntries([...arms].map(([experiment, counts]) => [experiment, factorsOf(counts, impossible)]));
  return { known: factors((counts) => counts.impossible), judged: factors((counts) => counts.impossibleToJudge) };
}
interface ArmCounts {
  readonly share: number;
  requests: number;
  impossible: number;
  impossibleToJudge: number;
}

/** Where no arm could, all are left as they are: the refusal then names what they lack. */
function factorsOf(arms: ReadonlyMap<string, ArmCounts>, impossible: (counts: ArmCounts) => number): Record<string, number> {
  const isAble = (counts: ArmCounts): boolean => impossible(counts) <= MOST_IMPOSSIBLE * counts.requests;
  const share = [...arms.values()].reduce((sum, counts) => sum + (isAble(counts) ? counts.share : 0), 0);
  return Object.fromEntries([...arms].map(([arm, counts]) => [arm, share === 0 ? 1 : isAble(counts) ? 1 / share : 0]));
}

/**
 * Of experiments whose arm is drawn for each request. Of a user all have one arm, where it is drawn for each user: one draw would be
 * taken for many, and intervals be too narrow. An event does not say which; two arms of one user do.
 */
function drawnByRequest(events: readonly Taught[]): (experimentId: string) => boolean {
  const armsOf = new Map<string, string>();
  const repeated = new Set<string>(), changed = new Set<string>();
  for (const { tenant_id, user_id, arm } of events) {
    if (arm === null || user_id === null) continue;
    const user = JSON.stringify([arm.experiment_id, tenant_id, user_id]);
    const before = armsOf.get(user);
    if (before === undefined) armsOf.set(user, arm.arm);
    else (before === arm.arm ? repeated : changed).add(arm.experiment_id);
  }
  return (experimentId) => changed.has(experimentId) || !repeated.has(experimentId);
}

export function weightedByArm(coverage: Coverage, arm: RecordedEvent["arm"], { known, judged }: ArmWeights): Coverage {
  if (arm === null) return coverage;
  const factorIn = (factors: Factors): number => factors[arm.experiment_id]?.[arm.arm] ?? (factors[arm.experiment_id] === undefined ? 1 : 0);
  const [ofKnown, ofJudged] = [factorIn(known), factorIn(judged)];
  return { known: coverage.known * ofKnown, judged: coverage.judged * ofJudged, impossible: coverage.impossible * ofKnown, impossibleToJudge: coverage.impossibleToJudge * ofJudged, lacks: ofKnown + ofJudged === 0 ? null : coverage.lacks };
}
