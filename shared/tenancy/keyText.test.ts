import { expect, it } from "vitest";

import { hmacOf, isSecretOf, newKeyText, readKeyText, subkey } from "./keyText.ts";

const PEPPER = subkey("p".repeat(32), "api-keys");

it("reads the keys that it makes, each another one", () => {
  const keys = Array.from({ length: 200 }, newKeyText);
  for (const { text, keyId, secret } of keys) expect(readKeyText(text)).toEqual({ keyId, secret });
  expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(200);
});

it.each(["", "cao_", "sk-abc", "unused", `cao_${"a".repeat(12)}_${"b".repeat(42)}`, `cao_${"a".repeat(12)}_${"b".repeat(44)}`, `cao_${"A".repeat(12)}_${"b".repeat(43)}`, ` cao_${"a".repeat(12)}_${"b".repeat(43)}`])("%j is no key", (text) => {
  expect(readKeyText(text)).toBeNull();
});

it("tells a secret from all others, and knows none of an unknown key", () => {
  const { secret } = newKeyText();
  const stored = hmacOf(PEPPER, secret);
  const other = secret.startsWith("A") ? `B${secret.slice(1)}` : `A${secret.slice(1)}`;
  expect([isSecretOf(stored, PEPPER, secret), isSecretOf(stored, PEPPER, other), isSecretOf(null, PEPPER, secret), isSecretOf(stored, subkey("q".repeat(32), "api-keys"), secret)]).toEqual([true, false, false, false]);
});

it("gives each use a key of its own", () => {
  expect(subkey("s".repeat(32), "cache").equals(subkey("s".repeat(32), "admission"))).toBe(false);
});
