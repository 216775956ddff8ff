/** API keys as text: `cao_<key id>_<secret>`. Pure but for the randomness of `newKeyText`. */
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";

import { KeyId } from "#shared/contracts/apiKey.ts";

const PREFIX = "cao_";
const SECRET_BYTES = 32;
const KEY = /^cao_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/;

export interface KeyText {
  readonly keyId: string;
  readonly secret: string;
}

/** `null`: no key of ours, whatever it is. */
export function readKeyText(text: string): KeyText | null {
  const [, keyId, secret] = KEY.exec(text) ?? [];
  return keyId === undefined || secret === undefined ? null : { keyId, secret };
}

export function newKeyText(): KeyText & { readonly text: string } {
  // 60 bits, so ids do not meet; of 36 signs, so that a person can read one out.
  const keyId = KeyId.parse(BigInt(`0x${randomBytes(8).toString("hex")}`).toString(36).padStart(12, "0").slice(-12));
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  return { keyId, secret, text: `${PREFIX}${keyId}_${secret}` };
}

/** What one shared secret (INFER_SECRET) is used for: each use has a key of its own (HKDF, RFC 5869). */
export const subkey = (secret: string, use: "api-keys" | "admission" | "cache" | "webhooks" | "feedback"): Buffer => Buffer.from(hkdfSync("sha256", secret, "", `cost-aware-inference-optimizer ${use}`, 32));

/** Secrets are 32 random bytes, so a fast HMAC is enough: there is nothing to guess. In base64url. */
export const hmacOf = (pepper: Buffer, secret: string): string => createHmac("sha256", pepper).update(secret).digest("base64url");

const DUMMY = "A".repeat(43);
/** Takes the same time whether the key is known (`stored`) or not (`null`). */
export function isSecretOf(stored: string | null, pepper: Buffer, secret: string): boolean {
  const isEqual = timingSafeEqual(Buffer.from(hmacOf(pepper, secret)), Buffer.from(stored ?? DUMMY));
  return isEqual && stored !== null;
}
