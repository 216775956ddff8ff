/**
 * Texts in Redis that only we can have written there: `<HMAC-SHA256 of place and text>.<text>`. A text that somebody else put
 * there, or that lay at another place, is none. Without a secret the key is empty, and it is a checksum. Pure.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export function seal(key: Buffer, place: string, text: string): string {
  return `${macOf(key, place, text)}.${text}`;
}

/** `null`: not sealed by us for this place. */
export function unseal(key: Buffer, place: string, sealed: string): string | null {
  const text = sealed.slice(MAC_LENGTH + 1);
  const [mac, wanted] = [Buffer.from(sealed.slice(0, MAC_LENGTH)), Buffer.from(macOf(key, place, text))];
  return sealed[MAC_LENGTH] === "." && mac.length === wanted.length && timingSafeEqual(mac, wanted) ? text : null;
}

const macOf = (key: Buffer, place: string, text: string): string => createHmac("sha256", key).update(`${place}\n`).update(text).digest("base64url");
/** Of 32 bytes in base64url. */
const MAC_LENGTH = 43;
/** Before the text, the dot included. */
export const SEAL_LENGTH = MAC_LENGTH + 1;
