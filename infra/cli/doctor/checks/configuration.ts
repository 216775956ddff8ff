import { existsSync } from "node:fs";

import { readRoleSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { servedBy } from "#shared/contracts/tiers.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem } from "../finding.ts";

/** As `up` reads it for all roles: variables, tier file, prices that are over, API keys of the tiers. */
export const configuration: Check<Place> = {
  title: "configuration",
  run: ({ environment, home }) => Promise.resolve(judgeConfiguration(() => readRoleSettings(withSecrets(environment, home.snapshotKeysFile), home))),
};

/** Made up: where nobody sets a secret, `up` makes it. */
const STAND_IN = "x".repeat(43);
function withSecrets(environment: Place["environment"], snapshotKeysFile: string): Place["environment"] {
  const hasKeys = environment["INFER_SNAPSHOT_KEYS"] || environment["INFER_SNAPSHOT_KEYS_FILE"];
  const keys = hasKeys ? {} : existsSync(snapshotKeysFile) ? { INFER_SNAPSHOT_KEYS_FILE: snapshotKeysFile } : { INFER_SNAPSHOT_KEYS: STAND_IN };
  return { ...environment, ...(environment["INFER_SECRET"] || environment["INFER_SECRET_FILE"] ? {} : { INFER_SECRET: STAND_IN }), ...keys };
}

export function judgeConfiguration(read: () => ReturnType<typeof readRoleSettings>): Finding[] {
  try {
    const { tiers, tiersFile } = read();
    return [ok(`all variables can be used; ${tiersFile} has ${servedBy(tiers).map(({ name }) => name).join(", ")}`)];
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return [problem(error.message, error.nextStep)];
  }
}
