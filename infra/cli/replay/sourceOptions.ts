/** Where audit events are read from, as it was typed: `replay` and `export` share it. */
import { TenantId } from "#shared/contracts/ids.ts";

import { type ParsedArguments, wrongUse } from "../command.ts";
import { sinceMs } from "../since.ts";

export const SOURCE_OPTIONS = {
  "from-seq": { type: "string" }, "to-seq": { type: "string" }, since: { type: "string" }, until: { type: "string" }, "from-audit": { type: "boolean" }, tenant: { type: "string" }, limit: { type: "string" },
} as const;
export const SOURCE_USAGE = "[FILE ... | --from-audit] [--from-seq <n>] [--to-seq <n>] [--since <time or age>] [--until <time or age>] [--tenant <tenant>] [--limit <n>]";
export const SOURCE_DETAILS: readonly string[] = [
  "FILE ...       exports (`inferctl export`), or JSON lines of audit events, compressed or not; - is standard input. Without a file and --from-audit: the stream COMPLETIONS",
  "--from-audit   from the audit in Postgres, which reaches further back; without the vectors of embeddings",
  "--from-seq, --to-seq   of COMPLETIONS or of the audit: by sequence in COMPLETIONS, both included",
  "--since, --until       the same by time, an ISO time or an age as 7d or 12h: when the stream stored it; of the audit, when the request ended. What comes after the start is not read",
  "--tenant       events of this tenant alone",
  "--limit        no more events than this",
];

export interface SourceWanted {
  readonly from: { readonly kind: "stream" | "audit" } | { readonly kind: "files"; readonly files: readonly string[] };
  readonly fromSeq: number | null;
  readonly toSeq: number | null;
  /** Epoch milliseconds: not before, and before. */
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
  readonly tenantId: string | null;
  readonly limit: number | null;
}

/** Throws a `SetupError` (64). Pure. */
export function sourceWanted(verb: string, { values, positionals: files }: ParsedArguments, nowMs: number): SourceWanted {
  const text = (name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);
  const number = (name: string): number | null => {
    const given = text(name);
    if (given === undefined) return null;
    if (!/^[1-9]\d{0,14}$/.test(given)) throw wrongUse(verb, `--${name} must be a whole number above 0, not ${given}`);
    return Number(given);
  };
  const time = (name: string): number | null => {
    const given = text(name);
    const atMs = given === undefined ? null : sinceMs(given, nowMs);
    if (Number.isNaN(atMs)) throw wrongUse(verb, `--${name} must be an ISO time or an age such as 7d or 12h, not ${given ?? ""}`);
    return atMs;
  };
  const isAudit = values["from-audit"] === true;
  if (isAudit && files.length > 0) throw wrongUse(verb, "--from-audit and a file exclude each other");
  const wanted: SourceWanted = {
    from: files.length > 0 ? { kind: "files", files } : { kind: isAudit ? "audit" : "stream" },
    fromSeq: number("from-seq"), toSeq: number("to-seq"), sinceMs: time("since"), untilMs: time("until"), tenantId: text("tenant") ?? null, limit: number("limit"),
  };
  const ofFiles = ["from-seq", "to-seq", "since", "until"].find((name) => values[name] !== undefined);
  if (files.length > 0 && ofFiles !== undefined) throw wrongUse(verb, `--${ofFiles} does not go with a file`);
  if (files.indexOf("-") !== files.lastIndexOf("-")) throw wrongUse(verb, "standard input can be read once");
  if (isBackwards(wanted.fromSeq, wanted.toSeq)) throw wrongUse(verb, "--to-seq must not be below --from-seq");
  if (isBackwards(wanted.sinceMs, wanted.untilMs)) throw wrongUse(verb, "--until must not be before --since");
  if (wanted.fromSeq !== null && wanted.sinceMs !== null) throw wrongUse(verb, "--from-seq and --since exclude each other");
  if (wanted.toSeq !== null && wanted.untilMs !== null) throw wrongUse(verb, "--to-seq and --until exclude each other");
  if (wanted.tenantId !== null && !TenantId.safeParse(wanted.tenantId).success) throw wrongUse(verb, "--tenant: is no id of a tenant");
  return wanted;
}

const isBackwards = (from: number | null, to: number | null): boolean => from !== null && to !== null && to < from;
