import { readFileSync, statSync } from "node:fs";

import { parse } from "yaml";
import { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { PriceFile } from "#shared/contracts/prices.ts";
import { type BackendConfig, TierFile } from "#shared/contracts/tiers.ts";
import { asksBook, overdue, type PriceOptions, withBookPrices } from "#shared/prices/withBookPrices.ts";

import { readApiKey } from "./apiKey.ts";
import { ENVIRONMENT, type VariableName } from "./environment.ts";
import { readNatsSeed } from "./natsSeed.ts";
import { withSecretFiles } from "./secretFiles.ts";

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
  const read = withSecretFiles(withoutEmpty(process.env), process.cwd());
  const parsed = schema.safeParse(read.environment);
  const problems = [...unknown.map((name) => `${name}: no such variable; see docs/configuration.md`), ...read.problems, ...(parsed.success ? [] : issueLines(parsed.error))];
  if (!parsed.success || problems.length > 0) return exitWith("the environment", problems);
  return parsed.data;
}

/** Where tiers and their prices stand. */
export interface TierSource {
  readonly tiersFile: string;
  /** Read only when the tier file leaves a price to it. */
  readonly pricesFile: string;
}

/** Reads the tier file, or ends the process with every problem by path. */
export function loadTierFile(source: TierSource): TierFile {
  const read = readTierFile(source);
  return "problems" in read ? exitWith(source.tiersFile, read.problems) : read.file;
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

/** With the prices that hold on `day` (UTC; default: today). A process keeps them for as long as it runs. */
export function readTierFile({ tiersFile, pricesFile }: TierSource, { day = today(), acceptsOver = false }: Partial<PriceOptions> = {}): { readonly file: TierFile } | { readonly problems: string[] } {
  const raw = readYaml(tiersFile, "INFER_TIERS_FILE");
  if ("problems" in raw) return raw;
  const priced = asksBook(raw.value) ? pricedByBook(raw.value, pricesFile, { day, acceptsOver }) : { file: raw.value, problems: [] };
  const problems = [...priced.problems, ...(acceptsOver ? [] : overdue(raw.value, day))];
  if (problems.length > 0) return { problems };
  const parsed = TierFile.safeParse(priced.file);
  return parsed.success ? { file: parsed.data } : { problems: issueLines(parsed.error) };
}

function pricedByBook(value: unknown, pricesFile: string, options: PriceOptions): { readonly file: unknown; readonly problems: string[] } {
  const read = readPriceFile(pricesFile);
  return "problems" in read ? { file: value, problems: read.problems.map((problem) => `${pricesFile}: ${problem}`) } : withBookPrices(value, read.book, { ...options, booksName: pricesFile });
}

export function readPriceFile(path: string): { readonly book: PriceFile } | { readonly problems: string[] } {
  const raw = readYaml(path, "INFER_PRICES_FILE");
  if ("problems" in raw) return raw;
  const parsed = PriceFile.safeParse(raw.value);
  return parsed.success ? { book: parsed.data } : { problems: issueLines(parsed.error) };
}

/** The calendar day, UTC. */
export const today = (): string => new Date().toISOString().slice(0, 10);

/** Of a file of tiers or prices, which a person writes. */
const MOST_FILE_BYTES = 4 * 1024 ** 2;
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function readYaml(path: string, variable: VariableName): { readonly value: unknown } | { readonly problems: string[] } {
  try {
    if (statSync(path).size > MOST_FILE_BYTES) return { problems: [`${path}: larger than ${MOST_FILE_BYTES / 1024 ** 2} MiB; ${variable} names the file`] };
    return { value: parse(utf8.decode(readFileSync(path)), { maxAliasCount: 20 }) };
  } catch (error) {
    const { message } = error as Error;
    return { problems: [`${error instanceof TypeError ? `${path}: not UTF-8` : message.split("\n")[0] ?? ""}; ${variable} names the file`] };
  }
}

/** Variables with our prefix that nothing reads: misspelt ones must not pass as "not set". */
export const unknownVariables = (environment: NodeJS.ProcessEnv): string[] =>
  Object.keys(environment).filter((name) => name.startsWith("INFER_") && !(name in ENVIRONMENT));

const withoutEmpty = (environment: NodeJS.ProcessEnv) => Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));

/** Ends the process: `source` cannot be used, and why. */
export function exitWith(source: string, problems: readonly string[]): never {
  process.stderr.write(`Invalid configuration in ${source}:\n${problems.map((problem) => `  ${problem}\n`).join("")}`);
  process.exit(EX_CONFIG);
}
