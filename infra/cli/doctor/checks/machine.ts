import { statfs } from "node:fs/promises";

import { isAtLeast } from "#infra/embedded/serverVersion.ts";

import manifest from "../../../../package.json" with { type: "json" };
import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

const MIB = 1024 ** 2;
const LEAST_FREE_BYTES = 512 * MIB, FEW_FREE_BYTES = 2_048 * MIB;
const FEW_FREE_SHARE = 0.05;

export const machine: Check<Place> = {
  title: "machine",
  run: async ({ home }) => {
    const { bavail, blocks, bsize } = await statfs(home.root);
    return [judgeNode(process.versions.node, manifest.engines.node), judgeDisk({ folder: home.root, freeBytes: bavail * bsize, bytes: blocks * bsize })];
  },
};

/** `wanted`: as package.json has it, `>=20.19`. */
export function judgeNode(version: string, wanted: string): Finding {
  const minimum = wanted.replace(">=", "");
  return isAtLeast(version, minimum) ? ok(`Node.js ${version}`) : problem(`Node.js ${version} is too old: ${minimum} or newer is needed`, "Install a newer Node.js (https://nodejs.org), then start all again: inferctl down; inferctl up");
}

export function judgeDisk({ folder, freeBytes, bytes }: { readonly folder: string; readonly freeBytes: number; readonly bytes: number }): Finding {
  const free = `${(freeBytes / MIB / 1_024).toFixed(1)} GiB (${((100 * freeBytes) / bytes).toFixed(0)} %) of the disk are free at ${folder}`;
  const next = "Free disk space: NATS, Redis and Postgres refuse to write on a full disk. Shorter retention: INFER_COMPLETIONS_MAX_AGE_HOURS, INFER_AUDIT_RETENTION_DAYS.";
  if (freeBytes < LEAST_FREE_BYTES) return problem(free, next);
  return freeBytes < FEW_FREE_BYTES || freeBytes < FEW_FREE_SHARE * bytes ? warning(free, next) : ok(free);
}
