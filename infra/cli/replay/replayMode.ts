/** What `inferctl replay --mode` runs: each mode parses its own options and reads the one source that the command opened. */
import type { AuditSource } from "#shared/audit/auditSource.ts";

import type { CliContext, ParsedArguments } from "../command.ts";

export interface ReplayContext extends CliContext {
  readonly source: AuditSource;
  /** `--resume`: where an interrupted run had come to, and what it had found by then; a mode reads `found` by its own schema. `null`: from the start. */
  readonly resumed: { readonly cursor: string; readonly found: unknown } | null;
  /** Keeps the same for `--resume`, by replacing a file; `found` is JSON. Where no such file was named, a mode that sends nothing writes it at an interruption alone. */
  readonly keep: (cursor: string, found: unknown) => Promise<void>;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
}
export interface ReplayMode {
  readonly name: "verify" | "what-if" | "live" | "shadow";
  readonly summary: string;
  readonly details: readonly string[];
  readonly example: string;
  /** Besides those of every mode: where events come from, `--strict`, `--resume`, `--json`. */
  readonly options: Readonly<Record<string, { readonly type: "string" | "boolean"; readonly multiple?: boolean }>>;
  /** Resolves to the exit code. */
  readonly run: (values: ParsedArguments["values"], context: ReplayContext) => Promise<number>;
}
