import type { Decision } from "#shared/contracts/decision.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";

import { chooseStep } from "./policy/chooseStep.ts";
import { factsFor, type LiveTiers } from "./policy/quoteTiers.ts";

/** Pure: what the router does, what `POST /decide` explains, what replay repeats. */
export function decide(request: InferenceRequest, saga: SagaContext, file: TierFile, live: LiveTiers, nowMs: number): Decision {
  const facts = factsFor(request, file, live, nowMs);
  return { after_attempt: saga.attempt, policy: request.policy, facts, step: chooseStep({ request, saga, facts }, file) };
}
