import { readFileSync } from "node:fs";

import { parse } from "yaml";
import { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { type BackendConfig, TierFile } from "#shared/contracts/tiers.ts";

import { readApiKey } from "./apiKey.ts";
import { ENVIRONMENT, type VariableName } from "./environment.ts";
import { readNatsSeed } from "./natsSeed.ts";

const EX_CONFIG = 78;

/** The schema of a process that reads just these variables. */
export function pick<K extends VariableName>(...names: K[]): z.ZodObject<Pick<typeof ENVIRONMENT, K>> {
  return z.object(Object.fromEntries(names.map((name) => [name, ENVIRONMENT[name]])) as Pick<typeof ENVIRONMENT, K>);
}

/** Of a role that speaks NATS, and so has a user there. Its seed is read by `natsSeed` of its context. */
export const NATS_VARIABLES = ["NATS_URL", "NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED"] as const;

/** Parses the environment once, or ends the process with every bad variable by name. Only entry points call it. */
export function loadConfig<S extends z.ZodType>(schema: S): z.infer<S> {
  const unknown = unknownVariables(process.env);
  const parsed = schema.safeParse(withoutEmpty(process.env));
  const problems = [...unknown.map((name) => `${name}: no such variable; see docs/configuration.md`), ...(parsed.success ? [] : issueLines(parsed.error))];
  if (!parsed.success || problems.length > 0) return exitWith("the environment", problems);
  return parsed.data;
}

/** Reads the tier file, or ends the process with every problem by path. */
export function loadTierFile(path: string): TierFile {
  const read = readTierFile(path);
  return "problems" in read ? exitWith(path, read.problems) : read.file;
}

/** The key of a backend of the tier `name`, null when it needs none. Ends the process with what to do when it is missing. */
export function loadApiKey(owner: { readonly name: string; readonly backend: BackendConfig }): string | null {
  const read = readApiKey(owner, process.env, process.cwd());
  return "problem" in read ? exitWith("the environment", [read.problem]) : read.key;
}

/** The seed of a role's NATS user; undefined when none is named. Ends the process with what to do when it cannot be used. */
export function loadNatsSeed(role: string): string | undefined {
  const read = readNatsSeed(role, withoutEmpty(process.env), process.cwd());
  return "problem" in read ? exitWith("the environment", [read.problem]) : read.seed;
}

export function readTierFile(path: string): { readonly file: TierFile } | { readonly problems: string[] } {
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"), { maxAliasCount: 20 });
  } catch (error) {
    return { problems: [`${(error as Error).message.split("\n")[0] ?? ""}; INFER_TIERS_FILE names the file`] };
  }
  const parsed = TierFile.safeParse(value);
  return parsed.success ? { file: parsed.data } : { problems: issueLines(parsed.error) };
}

/** Variables with our prefix that nothing reads: misspelt ones must not pass as "not set". */
export const unknownVariables = (environment: NodeJS.ProcessEnv): string[] =>
  Object.keys(environment).filter((name) => name.startsWith("INFER_") && !(name in ENVIRONMENT));

const withoutEmpty = (environment: NodeJS.ProcessEnv) => Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));

function exitWith(source: string, problems: readonly string[]): never {
  process.stderr.write(`Invalid configuration in ${source}:\n${problems.map((problem) => `  ${problem}\n`).join("")}`);
  process.exit(EX_CONFIG);
}
