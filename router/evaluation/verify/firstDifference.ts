/** Where two values differ as JSON, without building any text: millions are compared. Keys may be in any order, and what JSON leaves out is left out. Pure. */
export interface Difference {
  /** `decisions.0.step.tier`; empty where the values themselves differ. */
  readonly path: string;
  /** Absent: there is none. */
  readonly recorded?: unknown;
  readonly decided?: unknown;
}

type Fields = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null;
const asJson = (value: unknown): unknown => (typeof value === "number" && !Number.isFinite(value) ? null : value);
/** Tiers and classes have names of anybody's choice, `constructor` among them; JSON itself has no functions. */
function own(fields: Fields, key: string): unknown {
  const value = fields[key];
  return (typeof value === "function" || key === "__proto__") && !Object.hasOwn(fields, key) ? undefined : value;
}

/** `null`: they are equal. */
export function firstDifference(recorded: unknown, decided: unknown): Difference | null {
  if (recorded === decided) return null;
  if (!isObject(recorded) || !isObject(decided) || Array.isArray(recorded) !== Array.isArray(decided)) return asJson(recorded) === asJson(decided) ? null : { path: "", recorded, decided };
  if (Array.isArray(recorded) && Array.isArray(decided)) return differenceInLists(recorded, decided);
  let fields = 0;
  for (const key in recorded) {
    const value = recorded[key];
    if (value === undefined) continue;
    fields++;
    const again = own(decided, key);
    if (value === again) continue;
    const inner = firstDifference(value, again);
    if (inner !== null) return under(key, inner);
  }
  // All that is recorded is there: nothing else is, where there is no more of it. Looking at values again would cost as much as comparing them.
  for (const _key in decided) fields--;
  if (fields === 0) return null;
  const added = Object.keys(decided).find((key) => decided[key] !== undefined && own(recorded, key) === undefined);
  return added === undefined ? null : { path: added, decided: decided[added] };
}

function differenceInLists(recorded: readonly unknown[], decided: readonly unknown[]): Difference | null {
  for (let i = 0; i < recorded.length; i++) {
    const inner = firstDifference(recorded[i], decided[i]);
    if (inner !== null) return under(String(i), inner);
  }
  return recorded.length === decided.length ? null : { path: String(recorded.length), decided: decided[recorded.length] };
}

export const under = (place: string, { path, ...values }: Difference): Difference => ({ path: path === "" ? place : `${place}.${path}`, ...values });
