/** What `up` itself reads from the environment, and whether the roles will accept what they read. */
import { resolve } from "node:path";

import type { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { replicasOf, servedBy, type TierFile } from "#shared/contracts/tiers.ts";
import { readApiKey } from "#shared/runtime/apiKey.ts";
import type { Replicas } from "#shared/messaging/topology.ts";
import { NATS_VARIABLES, pick, readTierFile, unknownVariables } from "#shared/runtime/loadConfig.ts";
import { ProcessConfig } from "#shared/runtime/runRole.ts";
import { withSecretFiles } from "#shared/runtime/secretFiles.ts";

import type { Environment, Home } from "./homeFolder.ts";
import { ROLE_CONFIGS } from "./roleConfigs.ts";
import { SetupError } from "./setupError.ts";

const EX_CONFIG = 78;

export const UpEnvironment = pick(
  ...NATS_VARIABLES, "REDIS_URL", "DATABASE_URL", "INFER_PREFIX", "INFER_TIERS_FILE", "INFER_PRICES_FILE", "INFER_LOCAL_MODELS_DIR", "INFER_DURABILITY", "INFER_STREAM_REPLICAS", "INFER_HTTP_HOST", "INFER_AUTH",
  "INFER_GATEWAY_PORT", "INFER_GATEWAY_ADMIN_HOST", "INFER_GATEWAY_ADMIN_PORT", "INFER_ROUTER_PORT", "INFER_AUDIT_SINK_PORT", "INFER_METRICS_SINK_PORT", "INFER_WEBHOOK_SENDER_PORT", "INFER_CONSOLE_PORT", "INFER_WORKER_PORT",
  "INFER_STREAMS_GIB", "INFER_COMPLETIONS_MAX_AGE_HOURS", "INFER_SHUTDOWN_GRACE_MS",
);

export interface Settings {
  readonly prefix: string;
  readonly durability: "fast" | "strict";
  readonly streamReplicas: Replicas;
  /** The NATS server that is started here lets nobody in but its users. */
  readonly asksForNatsUsers: boolean;
  /** The Redis and the Postgres that are started here ask each service for its password. */
  readonly asksForLogins: boolean;
  /** For reaching the roles: a wildcard address is reached on loopback. */
  readonly roleHost: string;
  /** For reaching the gateway's admin listener, likewise. */
  readonly adminHost: string;
  readonly ports: Readonly<Record<PortVariable, number>>;
  /** Variables that somebody set: a taken port is an error there. */
  readonly chosenPorts: ReadonlySet<PortVariable>;
  readonly tiersFile: string;
  readonly pricesFile: string;
  readonly tiers: TierFile;
  readonly localModelsDir: string;
  readonly completionsMaxAgeMs: number;
  readonly streamsGib: number;
  readonly shutdownGraceMs: number;
}

export const PORT_VARIABLES = ["INFER_GATEWAY_PORT", "INFER_GATEWAY_ADMIN_PORT", "INFER_ROUTER_PORT", "INFER_AUDIT_SINK_PORT", "INFER_METRICS_SINK_PORT", "INFER_WEBHOOK_SENDER_PORT", "INFER_CONSOLE_PORT", "INFER_WORKER_PORT"] as const;
export type PortVariable = (typeof PORT_VARIABLES)[number];

/** For one command: what the roles read is theirs to judge, and so is a price that is over. */
export const readSettings = (environment: Environment, home: Home): Settings => readChecked(environment, home, { alsoReading: [], acceptsOver: true });

/** For `up`, before it ends or starts anything: with all that the roles read when they start, and the API keys of the tiers. */
export function readRoleSettings(environment: Environment, home: Home): Settings {
  const settings = readChecked(environment, home, { alsoReading: [...Object.values(ROLE_CONFIGS), ProcessConfig], acceptsOver: false });
  const reads = servedBy(settings.tiers).flatMap((tier) => replicasOf(tier).map(({ backend }) => readApiKey({ name: tier.name, backend }, environment, home.project)));
  const problems = [...new Set(reads.flatMap((read) => ("problem" in read ? [read.problem] : [])))];
  if (problems.length > 0) throw badConfig("the environment", problems, "Set it, or take a tier file that needs none");
  return settings;
}

/** Throws one `SetupError` with every bad variable, or else every problem of the tier file. Relative paths count from the project. */
function readChecked(environment: Environment, home: Home, { alsoReading, acceptsOver }: { readonly alsoReading: readonly z.ZodType[]; readonly acceptsOver: boolean }): Settings {
  const withFiles = withSecretFiles(environment, home.project);
  const given = Object.fromEntries(Object.entries(withFiles.environment).filter(([, value]) => value !== undefined && value !== ""));
  const parsed = UpEnvironment.safeParse(given);
  const problems = [...unknownVariables(given).map((name) => `${name}: no such variable`), ...withFiles.problems];
  for (const { error } of [parsed, ...alsoReading.map((schema) => schema.safeParse(given))]) problems.push(...(error === undefined ? [] : issueLines(error)));
  if (!parsed.success || problems.length > 0) throw badConfig("the environment", [...new Set(problems)]);
  const env = parsed.data;
  const tiersFile = resolve(home.project, env.INFER_TIERS_FILE);
  const pricesFile = resolve(home.project, env.INFER_PRICES_FILE);
  const read = readTierFile({ tiersFile, pricesFile }, { acceptsOver });
  if ("problems" in read) throw badConfig(tiersFile, read.problems);
  return {
    prefix: env.INFER_PREFIX, durability: env.INFER_DURABILITY, streamReplicas: env.INFER_STREAM_REPLICAS, asksForNatsUsers: env.INFER_AUTH === "keys", asksForLogins: env.INFER_AUTH === "keys", tiersFile, pricesFile, tiers: read.file,
    roleHost: reachable(env.INFER_HTTP_HOST), adminHost: reachable(env.INFER_GATEWAY_ADMIN_HOST),
    ports: env, chosenPorts: new Set(PORT_VARIABLES.filter((name) => given[name] !== undefined && env[name] !== 0)),
    localModelsDir: given["INFER_LOCAL_MODELS_DIR"] === undefined ? resolve(home.root, "local-models") : resolve(home.project, env.INFER_LOCAL_MODELS_DIR),
    completionsMaxAgeMs: env.INFER_COMPLETIONS_MAX_AGE_HOURS * 3_600_000, streamsGib: env.INFER_STREAMS_GIB, shutdownGraceMs: env.INFER_SHUTDOWN_GRACE_MS,
  };
}

const reachable = (host: string): string => (["0.0.0.0", "::"].includes(host) ? "127.0.0.1" : host);

function badConfig(source: string, problems: readonly string[], remedy = "Correct it, or unset the variable"): SetupError {
  return new SetupError(`invalid configuration in ${source}:\n${problems.map((problem) => `  ${problem}`).join("\n")}`, `${remedy}; docs/configuration.md says more. What runs was left as it is.`, { exitCode: EX_CONFIG });
}
