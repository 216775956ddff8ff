import { createHmac, timingSafeEqual } from "node:crypto";

/** What a service shows another one for having allowed something: an HMAC over it, under a key that only services have. */
export interface Proofs {
  readonly sign: (...parts: readonly string[]) => string;
  readonly isGenuine: (proof: string | undefined, ...parts: readonly string[]) => boolean;
}

/** No part may have a line break in it: each is a line of what is signed. */
export function makeProofs(key: Buffer): Proofs {
  const hmac = (parts: readonly string[]) => createHmac("sha256", key).update(parts.join("\n"));
  return {
    sign: (...parts) => hmac(parts).digest("base64url"),
    isGenuine(proof, ...parts) {
      if (proof === undefined) return false;
      const [given, right] = [Buffer.from(proof, "base64url"), hmac(parts).digest()];
      return given.length === right.length && timingSafeEqual(given, right);
    },
  };
}
