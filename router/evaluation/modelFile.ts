/** From what was trained to the file that routers use: only the levels that may be needed, rounded, with its version. */
import { createHash } from "node:crypto";

import { shapeProblems } from "#shared/contracts/modelShape.ts";
import { type Measured, type RoutingLevel, type RoutingModel, RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";

import type { LearnedPolicy, Trained } from "./trainModel.ts";

export interface TrainedOn {
  readonly name: string;
  readonly rows: number;
  readonly sha256: string;
}

/** More careful levels than the operating ones, for when the floor is in doubt. */
const SPARE_LEVELS = 4;
/** Enough to decide alike, and a third of the size. */
const DIGITS = 6;
/** Until its content is known. */
const UNNAMED = "unnamed";

/** `names`: how the models of the log are called in the tier file. Pure. */
export function toModelFile({ model, points }: Pick<Trained, "model" | "points">, { sources, names, createdAt }: { sources: readonly TrainedOn[]; names: ReadonlyMap<string, string>; createdAt: Date }): RoutingModelFile {
  const floored = (policy: LearnedPolicy) => points.get(policy)?.floored ?? null;
  const measured = (policy: LearnedPolicy): Measured | null => points.get(policy)?.measured ?? null;
  const routing = floored("cascade-routing"), predictive = floored("predictive");
  const places = [...new Set([predictive, ...spare(routing)].filter((place) => place !== null))].sort((a, b) => a - b);
  const placeOf = (place: number | null) => (place === null ? null : places.indexOf(place));
  const named = (tier: string) => names.get(tier) ?? tier;
  const content = {
    ...rounded({ ...model, levels: places.flatMap((place) => model.levels[place] ?? []) }),
    tiers: model.tiers.map(named),
    baseline_tier: named(model.baseline_tier),
    operating: { cascade_routing_level: placeOf(routing), predictive_level: placeOf(predictive), cascade_keep_from: keepFrom(floored("cascade"), points) },
    data: { fingerprint: sha256(JSON.stringify(sources)), rows: sources.reduce((sum, { rows }) => sum + rows, 0), sources: [...sources] },
    metrics: { cascade_routing: measured("cascade-routing"), predictive: measured("predictive"), cascade: measured("cascade") },
  };
  const file = RoutingModelFile.parse({ ...content, version: UNNAMED, created_at: createdAt.toISOString() });
  const [problem] = shapeProblems(file);
  if (problem !== undefined) throw new Error(`what was fitted does not fit together: ${problem}`);
  return { ...file, version: modelVersion(file) };
}

const spare = (place: number | null): number[] => (place === null ? [] : Array.from({ length: Math.min(SPARE_LEVELS, place) + 1 }, (_, i) => place - i));

/** Above every confidence; JSON has no Infinity. */
const KEEP_NONE = 2;
function keepFrom(place: number | null, points: Trained["points"]): number | null {
  const knob = place === null ? undefined : points.get("cascade")?.knobs[place];
  return knob === undefined ? null : Math.min(knob, KEEP_NONE);
}

function rounded(model: RoutingModel): RoutingModel {
  const round = (value: number) => Number(value.toPrecision(DIGITS));
  const weights = (values: readonly number[] | null) => (values === null ? null : values.map(round));
  const level = ({ lambda_per_usd, states }: RoutingLevel): RoutingLevel => ({
    lambda_per_usd: round(lambda_per_usd),
    states: Object.fromEntries(Object.entries(states).map(([key, { stop, read, blind }]) => [key, { stop: weights(stop), read: read.map(weights), blind: blind.map(weights) }])),
  });
  return {
    ...model,
    calibration: model.calibration.map((one) => (one === null ? null : { intercept: round(one.intercept), slope: round(one.slope), saturated: round(one.saturated), class_intercepts: one.class_intercepts.map(round), class_slopes: one.class_slopes.map(round) })),
    levels: model.levels.map(level),
  };
}

/** One line for each vector of numbers, so that a person can read it and a diff says what changed. */
export const modelText = (model: RoutingModelFile): string =>
  `${JSON.stringify(model, null, 1).replace(/\[[-\d.e,\s+]+\]/g, (vector) => vector.replace(/\s+/g, ""))}\n`;

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
