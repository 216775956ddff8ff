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
/** Tiers and classes have names of anybody's choice, `constructor` among them. */
const own = (fields: Fields, key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);
const asJson = (value: unknown): unknown => (typeof value === "number" && !Number.isFinite(value) ? null : value);

/** `null`: they are equal. */
export function firstDifference(recorded: unknown, decided: unknown): Difference | null {
  if (recorded === decided) return null;
  if (!isObject(recorded) || !isObject(decided) || Array.isArray(recorded) !== Array.isArray(decided)) return asJson(recorded) === asJson(decided) ? null : { path: "", recorded, decided };
  for (const key of Object.keys(recorded)) {
    const inner = firstDifference(recorded[key], own(decided, key));
    if (inner !== null) return under(key, inner);
  }
  for (const key of Object.keys(decided)) if (decided[key] !== undefined && own(recorded, key) === undefined) return { path: key, decided: decided[key] };
  return null;
}

export const under = (place: string, { path, ...values }: Difference): Difference => ({ path: path === "" ? place : `${place}.${path}`, ...values });
