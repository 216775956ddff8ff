import { createHash } from "node:crypto";

import { canonicalJson } from "#shared/contracts/canonicalJson.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

const DIGEST_LENGTH = 16;
const known = new WeakMap<TierFile, string>();

/** The beginning of the SHA-256 of a tier file's content as routers hold it: with its prices and defaults filled in, in whatever order its keys are. */
export function tierFileVersion(file: TierFile): string {
  const before = known.get(file);
  if (before !== undefined) return before;
  const version = createHash("sha256").update(canonicalJson(file)).digest("hex").slice(0, DIGEST_LENGTH);
  known.set(file, version);
  return version;
}
