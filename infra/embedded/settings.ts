/** What `up` itself reads from the environment. The roles check the rest when they start. */
import { resolve } from "node:path";

import type { TierFile } from "#shared/contracts/tiers.ts";
import { pick, readTierFile, unknownVariables } from "#shared/runtime/loadConfig.ts";

import type { Environment, Home } from "./homeFolder.ts";
import { SetupError } from "./setupError.ts";

const EX_CONFIG = 78;

const UpEnvironment = pick(
  "NATS_URL", "REDIS_URL", "DATABASE_URL", "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_LOCAL_MODELS_DIR", "INFER_DURABILITY", "INFER_HTTP_HOST",
  "INFER_GATEWAY_PORT", "INFER_ROUTER_PORT", "INFER_AUDIT_SINK_PORT", "INFER_METRICS_SINK_PORT", "INFER_WORKER_PORT",
  "INFER_COMPLETIONS_MAX_AGE_HOURS", "INFER_SHUTDOWN_GRACE_MS",
);

export interface Settings {
  readonly prefix: string;
  readonly durability: "fast" | "strict";
  /** For reaching the roles: a wildcard address is reached on loopback. */
  readonly roleHost: string;
  readonly ports: Readonly<Record<PortVariable, number>>;
  /** Variables that somebody set: a taken port is an error there. */
  readonly chosenPorts: ReadonlySet<PortVariable>;
  readonly tiersFile: string;
  readonly tiers: TierFile;
  readonly localModelsDir: string;
  readonly completionsMaxAgeMs: number;
  readonly shutdownGraceMs: number;
}

export const PORT_VARIABLES = ["INFER_GATEWAY_PORT", "INFER_ROUTER_PORT", "INFER_AUDIT_SINK_PORT", "INFER_METRICS_SINK_PORT", "INFER_WORKER_PORT"] as const;
export type PortVariable = (typeof PORT_VARIABLES)[number];

/** Throws one `SetupError` with every bad variable and every problem of the tier file. Relative paths count from the project. */
export function readSettings(environment: Environment, home: Home): Settings {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""));
  const parsed = UpEnvironment.safeParse(given);
  const problems = unknownVariables(given).map((name) => `${name}: no such variable`);
  if (!parsed.success) problems.push(...parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`));
  if (!parsed.success || problems.length > 0) throw badConfig("the environment", problems);
  const env = parsed.data;
  const tiersFile = resolve(home.project, env.INFER_TIERS_FILE);
  const read = readTierFile(tiersFile);
  if ("problems" in read) throw badConfig(tiersFile, read.problems);
  return {
    prefix: env.INFER_PREFIX, durability: env.INFER_DURABILITY, tiersFile, tiers: read.file,
    roleHost: ["0.0.0.0", "::"].includes(env.INFER_HTTP_HOST) ? "127.0.0.1" : env.INFER_HTTP_HOST,
    ports: env, chosenPorts: new Set(PORT_VARIABLES.filter((name) => given[name] !== undefined && env[name] !== 0)),
    localModelsDir: given["INFER_LOCAL_MODELS_DIR"] === undefined ? resolve(home.root, "local-models") : resolve(home.project, env.INFER_LOCAL_MODELS_DIR),
    completionsMaxAgeMs: env.INFER_COMPLETIONS_MAX_AGE_HOURS * 3_600_000, shutdownGraceMs: env.INFER_SHUTDOWN_GRACE_MS,
  };
}

function badConfig(source: string, problems: readonly string[]): SetupError {
  return new SetupError(`invalid configuration in ${source}:\n${problems.map((problem) => `  ${problem}`).join("\n")}`, "Correct it; docs/configuration.md has every variable.", { exitCode: EX_CONFIG });
}
