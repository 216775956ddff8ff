/**
 * What a log line may hold. An allow-list: paths to redact would have to foresee where a body, a header or a row ends up (nested, in a
 * message, in a cause), and such lists leak. Pure.
 */

/** Fields with text: ids, words of closed sets, and what our own configuration says. Numbers and truth values may have any name. */
const TEXT_FIELDS: ReadonlySet<string> = new Set([
  "tenant_id", "request_id", "trace_id", "batch_id", "endpoint_id", "webhook_id", "instance", "version", "kept", "key", // `key`: <tier>.<instance>
  "outcome", "code", "result", "verdict", "action", "kind", "part", "status", "error", "problem", "missing", "signal", "scope", "window", "time_zone", "labels_of", "about", "says",
  "tier", "tiers", "replica", "model", "default_policy", "baseline_tier", "above", "source", "valid_from", "valid_until",
  "route", "host", "durable", "stream", "subject",
]);
/** Whatever the names within: what each place says of a difference. */
const RECORDS: ReadonlySet<string> = new Set(["says"]);
const MOST_CHARACTERS = 1_000, MOST_ELEMENTS = 50, DEEPEST = 3;

/** The fields that may be logged as they are; the names of the others are in `left_out`. An error is for its own serializer, as `err`. */
export function logFields(fields: Record<string, unknown>): Record<string, unknown> {
  for (const name in fields) if (!isPlain(name, fields[name])) return selected(fields, 0);
  return fields; // what nearly all lines are
}

const isPlain = (name: string, value: unknown): boolean => isNumberLike(value) || name === "err" || (typeof value === "string" && value.length <= MOST_CHARACTERS && TEXT_FIELDS.has(name));
const isNumberLike = (value: unknown): boolean => value === null || value === undefined || typeof value === "number" || typeof value === "boolean";

function selected(fields: object, depth: number, mayHaveAnyName = false): Record<string, unknown> {
  const kept: Record<string, unknown> = {}, leftOut: string[] = [];
  for (const [name, value] of Object.entries(fields as Record<string, unknown>)) {
    const loggable = isNumberLike(value) || (name === "err" && depth === 0) ? value : mayHaveAnyName || TEXT_FIELDS.has(name) ? textsIn(name, value, depth) : undefined;
    if (loggable === undefined && value !== undefined) leftOut.push(name);
    else kept[name] = loggable;
  }
  return leftOut.length === 0 ? kept : { ...kept, left_out: leftOut };
}

function textsIn(name: string, value: unknown, depth: number): unknown {
  if (typeof value === "string") return value.slice(0, MOST_CHARACTERS);
  if (typeof value === "bigint") return String(value);
  if (isNumberLike(value)) return value;
  if (depth === DEEPEST || typeof value !== "object" || value === null) return undefined;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Error) return errorFields(value, depth + 1);
  if (Array.isArray(value)) return value.slice(0, MOST_ELEMENTS).map((one) => textsIn(name, one, depth + 1) ?? null);
  return selected(value, depth + 1, RECORDS.has(name));
}

/** A program's or database's code, or one of ours: a word. */
const CODE = /^\w{1,40}$/;
/** JSON.parse shows what it read. */
const QUOTED_INPUT = /".*"(?:\.\.\.)? is not valid JSON/s;

/** Type, code, message, stack and causes: nothing that hangs on it (a response, a row, a header). */
export function errorFields(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code, cause } = error as Error & { code?: unknown };
  return {
    type: error.name,
    ...(typeof code === "string" && CODE.test(code) ? { code } : {}),
    message: error.message.replace(QUOTED_INPUT, "it is not valid JSON").slice(0, MOST_CHARACTERS),
    ...(depth === 0 ? { stack: framesOf(error) } : {}),
    ...(cause === undefined || depth === DEEPEST ? {} : { cause: errorFields(cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < DEEPEST ? { errors: (error.errors as unknown[]).slice(0, 5).map((one) => errorFields(one, depth + 1)) } : {}),
  };
}

/** Without the message, which it repeats. */
const framesOf = ({ stack = "" }: Error): string => stack.split("\n").filter((line) => /^\s+at /.test(line)).map((line) => line.trim()).join("\n");
