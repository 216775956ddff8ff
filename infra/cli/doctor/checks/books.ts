import { pick } from "#shared/runtime/loadConfig.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface BooksLooked {
  readonly open: readonly { readonly kind: string; readonly count: number }[];
  /** Since the part that was reconciled longest ago. `null`: none was. */
  readonly ageS: number | null;
  /** 0: never. */
  readonly everyS: number;
}

const Period = pick("INFER_RECONCILE_EVERY_S");

/** What the audit sink and the router found when they last reconciled. It reconciles nothing itself: `inferctl reconcile` does. */
export const books: Check<Place> = {
  title: "books",
  run: async (place) => {
    const { pool } = await place.postgres();
    const { rows: open } = await pool.query<{ kind: string; count: number }>("SELECT kind, count(*)::int AS count FROM reconcile_differences GROUP BY kind ORDER BY kind");
    const { rows: [mark] } = await pool.query<{ age: number | null }>("SELECT extract(epoch FROM now() - min(finished_at))::float8 AS age FROM reconcile_marks");
    const set = place.environment["INFER_RECONCILE_EVERY_S"];
    return judgeBooks({ open, ageS: mark?.age ?? null, everyS: Period.safeParse(set ? { INFER_RECONCILE_EVERY_S: set } : {}).data?.INFER_RECONCILE_EVERY_S ?? 0 });
  },
};

/** A caller's doing, which the alert MoneyDiffers leaves out too. */
const HARMLESS = "id_used_again";
/** As the alert ReconcileStale has it. */
const staleAfterS = (everyS: number): number => 3 * everyS + 300;

export function judgeBooks({ open, ageS, everyS }: BooksLooked): Finding[] {
  const textOf = (found: BooksLooked["open"]): string => found.map(({ kind, count }) => `${kind} (${count})`).join(", ");
  const [harmful, harmless] = [open.filter(({ kind }) => kind !== HARMLESS), open.filter(({ kind }) => kind === HARMLESS)];
  const next = "inferctl reconcile names each, what it means and what to do.";
  return [
    ...(harmful.length === 0 ? [] : [problem(`open differences: ${textOf(harmful)}`, next)]),
    ...(harmless.length === 0 ? [] : [warning(`open differences: ${textOf(harmless)}`, next)]),
    ...(everyS > 0 && ageS !== null && ageS > staleAfterS(everyS) ? [warning(`not reconciled for ${Math.round(ageS)} s, and it should be every ${everyS} s`, "Is a router and an audit sink up? inferctl status; or look now: inferctl reconcile")] : []),
    ...(open.length > 0 ? [] : [ok(ageS === null ? "not reconciled yet" : `no open difference, as of ${Math.round(ageS)} s ago`)]),
  ];
}
