/** `--from-audit`: the running system's own shadow labels and feedback as rows. */
import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import type { EvaluateOptions } from "#router/evaluation/evaluate.ts";
import type { TrainedOn } from "#router/evaluation/modelFile.ts";

import { readAuditRows } from "../auditRows.ts";
import { sinceMs } from "../since.ts";
import { goalsOf, list, text, tiersIn, type Values, wholeNumberOf, wrongUse } from "./evaluationValues.ts";

/** What both `train` and `evaluate` say of them. */
export const AUDIT_DETAILS = [
  "--since            for --from-audit: not before this, as ISO time or an age such as 7d or 12h",
  "--tenant           for --from-audit: requests of this tenant alone",
  "--max-rows         for --from-audit: the latest so many sampled requests (default 20000)",
];
export const AUDIT_OPTIONS = { "from-audit": { type: "boolean" }, since: { type: "string" }, tenant: { type: "string" }, "max-rows": { type: "string" } } as const;

export interface AuditOptions {
  readonly options: Omit<EvaluateOptions, "test">;
  readonly source: TrainedOn;
}

/** With the running system's own rows, in the tier file's order. `refused`: options that say what these rows say already. Throws `SetupError`. */
export async function auditOptions(values: Values, { environment, refused, onProgress }: { readonly environment: Environment; readonly refused: readonly string[]; readonly onProgress: (line: string) => void }): Promise<AuditOptions> {
  for (const other of refused) if (values[other] !== undefined) throw wrongUse(`--${other} does not go with --from-audit: rows, tiers and baseline are the running system's own`);
  const goals = goalsOf(values);
  const { tiers: tierFile } = readSettings(environment, openHome(environment));
  const baselineTier = tierFile.baseline_tier;
  const known = tierFile.tiers.map(({ name }) => name);
  const asked = values["tiers"] === undefined ? known : tiersIn(values);
  const unknown = asked.find((name) => !known.includes(name));
  if (unknown !== undefined) throw wrongUse(`--tiers: the tier file has no ${unknown}; it has ${known.join(", ")}`);
  if (!asked.includes(baselineTier)) throw wrongUse(`--tiers: the baseline tier ${baselineTier} must be among them, since the labels are agreement with it`);
  const tiers = known.filter((name) => asked.includes(name));
  const { rows, source } = await readAuditRows(environment, { tiers, baselineTier, since: sinceOf(values, Date.now()), tenantId: text(values, "tenant") ?? null, maxRows: wholeNumberOf(values, "max-rows", 20_000, { above: 0, most: 1_000_000 }) }, onProgress);
  return { options: { ...goals, train: rows, tiers, isOrdered: true, labels: "agreement", baselineTier, policies: list(values, "policy"), onProgress }, source };
}

/** Throws `SetupError`. */
export function requireAudit(values: Values): void {
  const other = ["since", "tenant", "max-rows"].find((name) => values[name] !== undefined);
  if (other !== undefined) throw wrongUse(`--${other} goes with --from-audit`);
}

/** As ISO 8601. */
function sinceOf(values: Values, nowMs: number): string | null {
  const given = text(values, "since");
  if (given === undefined) return null;
  const atMs = sinceMs(given, nowMs);
  if (Number.isNaN(atMs)) throw wrongUse(`--since must be an ISO time or an age such as 7d or 12h, not ${given}`);
  return new Date(atMs).toISOString();
}
