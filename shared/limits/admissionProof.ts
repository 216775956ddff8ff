/**
 * Says that a gateway admitted a request. Anybody may publish any body on a request subject of its own, so the name of a gateway in
 * it proves nothing; an HMAC over id and name does, under a key that only services have.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

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
  const key = secret === null ? null : subkey(secret, "admission");
  if (key === null) return { sign: () => undefined, isGenuine: (_id, origin) => origin !== DIRECT_ORIGIN };
  const hmac = ({ tenant_id, request_id }: Id, origin: string) => createHmac("sha256", key).update(`${prefix}\n${tenant_id}\n${request_id}\n${origin}`);
  return {
    sign: (id, origin) => hmac(id, origin).digest("base64url"),
    isGenuine(id, origin, proof) {
      if (origin === DIRECT_ORIGIN || proof === undefined) return false;
      const [given, right] = [Buffer.from(proof, "base64url"), hmac(id, origin).digest()];
      return given.length === right.length && timingSafeEqual(given, right);
    },
  };
}
