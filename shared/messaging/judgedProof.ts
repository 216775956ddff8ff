/**
 * Says that a gateway let its caller judge an answer. Tenants publish feedback of their own, and what is judged makes routing careful for all
 * of them: so it counts only with an HMAC over it, under a key that only services have.
 */
import type { FeedbackBody } from "#shared/contracts/feedback.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { makeProofs } from "#shared/tenancy/proof.ts";

import type { Id } from "./topology.ts";

type Said = Pick<FeedbackBody, "source" | "score">;
export interface JudgedProof {
  /** `undefined`: without a secret nothing is signed. */
  readonly sign: (id: Id, said: Said) => string | undefined;
  /** Without a secret everybody is believed: all callers are this machine's owner. */
  readonly isGenuine: (id: Id, said: Said, proof: string | undefined) => boolean;
}

export function makeJudgedProof(secret: string | null, prefix: string): JudgedProof {
  if (secret === null) return { sign: () => undefined, isGenuine: () => true };
  const { sign, isGenuine } = makeProofs(subkey(secret, "feedback"));
  const partsOf = ({ tenant_id, request_id }: Id, { source, score }: Said) => [prefix, tenant_id, request_id, source, String(score)];
  return { sign: (id, said) => sign(...partsOf(id, said)), isGenuine: (id, said, proof) => isGenuine(proof, ...partsOf(id, said)) };
}
