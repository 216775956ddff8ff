import { randomBytes } from "node:crypto";

import { expect, it } from "vitest";

import { keyOfSecret, newSecret, seal, unseal } from "./secrets.ts";

const KEY = randomBytes(32);

it("makes secrets as the standard has them, of which no two are alike", () => {
  const secrets = Array.from({ length: 50 }, newSecret);
  expect(new Set(secrets).size).toBe(50);
  for (const secret of secrets) expect([/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(secret), keyOfSecret(secret).length]).toEqual([true, 32]);
});

it("opens what it sealed, which looks another way each time", () => {
  const secret = newSecret();
  const sealed = [seal(KEY, "we_a", secret), seal(KEY, "we_a", secret)];
  expect([new Set(sealed).size, ...sealed.map((one) => unseal(KEY, "we_a", one))]).toEqual([2, secret, secret]);
});

it("opens nothing with another key, for another endpoint, or that was changed", () => {
  const sealed = seal(KEY, "we_a", newSecret());
  const changed = Buffer.from(sealed, "base64");
  changed[20] = (changed[20] ?? 0) ^ 1;
  for (const open of [() => unseal(randomBytes(32), "we_a", sealed), () => unseal(KEY, "we_b", sealed), () => unseal(KEY, "we_a", changed.toString("base64")), () => unseal(KEY, "we_a", ""), () => unseal(KEY, "we_a", sealed.slice(0, 24))]) expect(open).toThrow();
});
