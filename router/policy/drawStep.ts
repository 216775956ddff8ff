/**
 * The policy `random`: each step is drawn with equal chances from what the limits leave: any tier that was not tried, cheaper
 * or dearer, and stopping once there is a sound answer of the wanted confidence. It is for gathering a log from which every
 * other policy can be judged: each decision records the probability of what it chose (ADR 0039). Pure: what is drawn comes in.
 */
import type { Draw, Step } from "#shared/contracts/decision.ts";

import { ALWAYS_ASKS, run, type Situation, stop } from "./policy.ts";

export interface Drawn {
  readonly step: Step;
  readonly draw: Draw;
}

/** `first`: what `chooseStep` found, whose limits count. `null` where it is certain: no answer and nothing left, or a tier in spite of a soft limit. `which` in [0, 1). */
export function drawStep({ request, saga, facts }: Pick<Situation, "request" | "saga" | "facts">, first: Step, which: number): Drawn | null {
  const may_stop = saga.best !== null && saga.best.confidence >= (request.min_quality ?? 0);
  if (first.kind === "stop" ? !may_stop : first.despite !== undefined) return null;
  const from = facts.quotes.flatMap(({ tier }) => (first.excluded[tier] === undefined ? [tier] : []));
  const choices = from.length + (may_stop ? 1 : 0);
  const tier = from[Math.floor(which * choices)];
  const draw = { from, may_stop, propensity: 1 / choices };
  return { draw, step: tier === undefined ? stop("good_enough", first.excluded) : run(tier, ALWAYS_ASKS, first.excluded) };
}
