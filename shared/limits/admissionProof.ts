/**
 * Says that a gateway admitted a request. Anybody may publish any body on a request subject of its own, so the name of a gateway in
 * it proves nothing; an HMAC over id and name does, under a key that only services have.
 */
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { makeProofs } from "#shared/tenancy/proof.ts";

interface Id {
  readonly tenant_id: string;
  readonly request_id: string;
}
export interface AdmissionProof {
  /** `undefined`: without a secret nothing is signed. */
  readonly sign: (id: Id, origin: string) => string | undefined;
  /** Without a secret every gateway's name is believed: all callers are this machine's owner. */
  readonly isGenuine: (id: Id, origin: string, proof: string | undefined) => boolean;
}

export function makeAdmissionProof(secret: string | null, prefix: string): AdmissionProof {
  if (secret === null) return { sign: () => undefined, isGenuine: (_id, origin) => origin !== DIRECT_ORIGIN };
  const { sign, isGenuine } = makeProofs(subkey(secret, "admission"));
  return {
    sign: ({ tenant_id, request_id }, origin) => sign(prefix, tenant_id, request_id, origin),
    isGenuine: ({ tenant_id, request_id }, origin, proof) => origin !== DIRECT_ORIGIN && isGenuine(proof, prefix, tenant_id, request_id, origin),
  };
}
