/**
 * How much a recorded request stands for, so that the requests of which the outcome under a policy is known stand for all:
 * 1 / the probability with which the log would hold that outcome, by the recorded propensities. Where the policy that decided
 * would never have taken a step, a sampled shadow may hold it. Pure (ADR 0039).
 *
 * Each weight has the expectation 1 over what was drawn, whatever the outcomes: that alone makes the estimates unbiased.
 */
import type { Played } from "./playEvent.ts";
import type { RecordedEvent } from "./recordedEvent.ts";

export interface Coverage {
  /** Weight of the request for what depends on the tiers that would be run. 0: it is not known. */
  readonly known: number;
  /** The same for the quality of the answer that would be kept, before it is asked whether somebody judged it. */
  readonly judged: number;
  /** Weight of a request of which the log could not hold the outcome, and of its answer's quality. */
  readonly impossible: number;
  readonly impossibleToJudge: number;
  /** The step that it lacks: the tier, or `stop`, and after which. `null`: none. */
  readonly lacks: string | null;
}
const NOTHING: Coverage = { known: 0, judged: 0, impossible: 0, impossibleToJudge: 0, lacks: null };

/** `shadowShare`: of requests that are shadowed, in [0, 1]. */
export function coverageOf(event: RecordedEvent, played: Played, shadowShare: number): Coverage {
  return event.isFree && played.tried.length + (played.missing === null ? 0 : 1) > 0 ? inAnyOrder(event, played) : stepByStep(event, played, shadowShare);
}

/**
 * Steps were drawn evenly and every order had a chance: each order that holds the outcome counts with the share that it has of
 * them all, so that a request counts also where its tiers were run in another order, or with others between.
 */
function inAnyOrder({ path, steps, kept }: RecordedEvent, { tried, missing, kept: wanted }: Played): Coverage {
  if (missing !== null || tried.some((tier) => !path.includes(tier))) return NOTHING;
  const n = steps[0]?.tier == null ? 0 : tiersDrawnFrom(steps[0].chanceOf, steps[0].tier);
  const k = tried.length;
  const enough = Math.max(...tried.map((tier) => path.indexOf(tier))) + 1; // attempts after which all of them are known
  const probability = (upTo: number) => steps.slice(0, upTo).reduce((product, { tier, chanceOf }) => product * chanceOf(tier), 1);
  const known = pathChance(n, enough) / holdsChance(n, k) / probability(enough);
  if (wanted === null) return { ...NOTHING, known, judged: known }; // no answer is worth 0, and that is known
  const isLast = path.at(-1) === wanted && kept === wanted;
  const judged = isLast ? (pathChance(n, path.length) * stopChance(n, path.length)) / endsWithChance(n, k) / probability(path.length + 1) : 0;
  return { ...NOTHING, known, judged };
}

/** At the first step nothing else is drawn from, and all are as likely. */
const tiersDrawnFrom = (chanceOf: (tier: string | null) => number, taken: string): number => Math.round(1 / chanceOf(taken));

/** Of running `j` named tiers of `n` in a named order, when every answer is sound and no limit interferes. */
export function pathChance(n: number, j: number): number {
  let chance = 1;
  for (let i = 0; i < j; i++) chance /= n - i + (i > 0 ? 1 : 0);
  return chance;
}
const stopChance = (n: number, j: number): number => 1 / (n - j + 1);
const choose = (n: number, k: number): number => { let c = 1; for (let i = 0; i < k; i++) c = (c * (n - i)) / (i + 1); return c; };
const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));

/** That `k` named tiers are among those run. By the number of tiers after which they are: the last of these is one of them. */
export function holdsChance(n: number, k: number): number {
  let chance = 0;
  for (let j = k; j <= n; j++) chance += k * choose(n - k, j - k) * factorial(j - 1) * pathChance(n, j);
  return chance;
}
/** That they are, and a named one of them was run last. */
export function endsWithChance(n: number, k: number): number {
  let chance = 0;
  for (let j = k; j <= n; j++) chance += choose(n - k, j - k) * factorial(j - 1) * pathChance(n, j) * stopChance(n, j);
  return chance;
}

/** The same steps in the same order. From the first one on that the log takes more seldom than requests are shadowed, only shadowed requests count. */
function stepByStep(event: RecordedEvent, { tried, missing, kept }: Played, shadowShare: number): Coverage {
  let probability = 1;
  const wanted = missing === null ? tried : [...tried, missing];
  for (const [place, tier] of wanted.entries()) {
    const chance = event.steps[place]?.chanceOf(tier) ?? 0;
    if (chance === 0 && shadowShare === 0) return { ...NOTHING, impossible: 1 / probability, impossibleToJudge: 1 / probability, lacks: lacking(wanted, place) };
    if (probability * chance < shadowShare) return byShadow(event, { tried, missing, kept }, { probability, shadowShare, lacks: lacking(wanted, place) });
    if (event.steps[place]?.tier !== tier) return NOTHING;
    probability *= chance;
  }
  if (missing !== null) return NOTHING;
  const known = 1 / probability;
  if (kept === null) return { ...NOTHING, known, judged: known };
  const stop = event.steps[tried.length];
  const chance = stop?.chanceOf(null) ?? 0;
  if (chance > 0 && probability * chance >= shadowShare) return { ...NOTHING, known, judged: stop?.tier === null ? 1 / (probability * chance) : 0 };
  const lacks = lacking([...tried, null], tried.length);
  if (shadowShare === 0) return { ...NOTHING, known, impossibleToJudge: known, lacks };
  return { ...NOTHING, known, judged: event.isShadowed ? 1 / (probability * shadowShare) : 0 };
}

function byShadow(event: RecordedEvent, { missing }: Pick<Played, "tried" | "missing" | "kept">, { probability, shadowShare, lacks }: { readonly probability: number; readonly shadowShare: number; readonly lacks: string }): Coverage {
  if (!event.isShadowed) return NOTHING;
  const weight = 1 / (probability * shadowShare);
  return missing === null ? { ...NOTHING, known: weight, judged: weight } : { ...NOTHING, impossible: weight, impossibleToJudge: weight, lacks };
}

const lacking = (wanted: readonly (string | null)[], place: number): string => `${wanted[place] ?? "stop"}${place === 0 ? " first" : ` after ${wanted[place - 1] ?? ""}`}`;
