/**
 * Whether a value matches a caller's JSON schema. A schema is a program of whoever wrote it: its patterns and references can
 * run for ever, so it is compiled and run under a time limit, which ends regular expressions too. Nothing is ever fetched.
 */
import vm from "node:vm";

import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

/** `unchecked`: the schema is none, needs another document, or takes too long. Its server may know better. */
export type SchemaVerdict = "valid" | "invalid" | "unchecked";

/** Both block the event loop. Schemas that people write take a tenth of it. */
const COMPILE_WITHIN_MS = 100;
const CHECK_WITHIN_MS = 50;
const MOST_SCHEMAS = 64;

/** By the schema's text, the least recently used first. `null`: not to be checked. */
const compiled = new Map<string, ValidateFunction | null>();

/** `value`: parsed JSON. */
export function checkSchema(schema: object, value: unknown): SchemaVerdict {
  const key = JSON.stringify(schema);
  const validate = compiled.get(key) ?? (compiled.has(key) ? null : within(COMPILE_WITHIN_MS, () => compile(schema)));
  const verdict = validate === null ? null : within(CHECK_WITHIN_MS, () => validate(value));
  remember(key, verdict === null ? null : validate);
  return verdict === null ? "unchecked" : verdict ? "valid" : "invalid";
}

/** Drafts from 6 on differ in what such schemas do not use; the one that is named would have to be known here. */
function compile({ $schema: _draft, ...schema }: { readonly $schema?: unknown }): ValidateFunction {
  return new Ajv2020({ strict: false, validateFormats: false, validateSchema: false, logger: false, addUsedSchema: false }).compile(schema);
}

const OUTSIDE = vm.createContext({ run: undefined as (() => unknown) | undefined });
const RUN = new vm.Script("run()");
/** `null`: it threw, or took longer. */
function within<T>(timeoutMs: number, run: () => T): T | null {
  OUTSIDE["run"] = run;
  try {
    return RUN.runInContext(OUTSIDE, { timeout: timeoutMs }) as T; // what `run` gives
  } catch {
    return null;
  } finally {
    OUTSIDE["run"] = undefined;
  }
}

function remember(key: string, validate: ValidateFunction | null): void {
  compiled.delete(key);
  compiled.set(key, validate);
  const [oldest] = compiled.keys();
  if (compiled.size > MOST_SCHEMAS && oldest !== undefined) compiled.delete(oldest);
}
