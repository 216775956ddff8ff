/**
 * What the schema of a routing model cannot say: that its parts fit each other. A weight vector that is too short would
 * not fail but decide wrongly, as what is missing counts as 0. Pure.
 */
import { type RoutingLevel, type RoutingModelFile, type StateValues, WORD_PLACES } from "./routingModel.ts";

/** Length of a weight vector, by how many answers are known: none, one, or the first and the latest (`router/policy/routingValues.ts`). */
export function featuresKnown(classes: number, answers: number): number {
  const ofQuery = 1 + classes + classes + 2;
  const ofLatest = answers > 0 ? 2 + classes : 0;
  return ofQuery + ofLatest + (answers > 1 ? 2 : 0);
}

/** Each begins with the place of the problem: `levels.0.states.0,1.read.2: ...`. Empty: the model can be decided with. */
export const shapeProblems = (model: RoutingModelFile): string[] =>
  [...tierProblems(model), ...promiseProblems(model), ...classProblems(model), ...calibrationProblems(model), ...operatingProblems(model), ...model.levels.flatMap((level, place) => levelProblems(model, level, place))];

const unless = (isSo: boolean, problem: string): string[] => (isSo ? [] : [problem]);
const repeated = (names: readonly string[]) => names.filter((name, i) => names.indexOf(name) !== i);

function tierProblems({ tiers, baseline_tier }: RoutingModelFile): string[] {
  return [
    ...repeated(tiers).map((name) => `tiers: ${name} is there twice`),
    ...unless(tiers.includes(baseline_tier), `baseline_tier: ${baseline_tier} is none of the tiers ${tiers.join(", ")}`),
  ];
}

/** What routers test the floor with: beyond these there is nothing to promise. */
function promiseProblems({ target, risk }: RoutingModelFile): string[] {
  return [
    ...unless(target > 0 && target <= 1, `target: ${target} is not above 0 and at most 1`),
    ...unless(risk > 0 && risk <= MOST_RISK, `risk: ${risk} is not above 0 and at most ${MOST_RISK}`),
  ];
}
const MOST_RISK = 0.5;

function classProblems({ classes: { names, centroids } }: RoutingModelFile): string[] {
  return [
    ...repeated(names).map((name) => `classes.names: ${name} is there twice`),
    ...unless(centroids.length === names.length, `classes.centroids: ${centroids.length} of them for ${names.length} classes`),
    ...centroids.flatMap((centroid, i) => unless(centroid.length === WORD_PLACES, `classes.centroids.${i}: ${centroid.length} numbers, not ${WORD_PLACES}`)),
  ];
}

function calibrationProblems({ calibration, tiers, classes: { names } }: RoutingModelFile): string[] {
  return [
    ...unless(calibration.length === tiers.length, `calibration: ${calibration.length} of them for ${tiers.length} tiers`),
    ...calibration.flatMap((one, place) => (one === null ? [] : ([["class_intercepts", one.class_intercepts], ["class_slopes", one.class_slopes]] as const).flatMap(
      ([name, weights]) => unless(weights.length === names.length, `calibration.${place}.${name}: ${weights.length} numbers for ${names.length} classes`)))),
  ];
}

function operatingProblems({ operating: { cascade_routing_level, predictive_level }, levels }: RoutingModelFile): string[] {
  return Object.entries({ cascade_routing_level, predictive_level }).flatMap(([name, place]) =>
    unless(place === null || place < levels.length, `operating.${name}: there is no level ${place}, only ${levels.length} of them`));
}

function levelProblems(model: RoutingModelFile, level: RoutingLevel, place: number): string[] {
  const before = model.levels[place - 1];
  const start = level.states[""];
  const at = `levels.${place}`;
  return [
    ...unless(before === undefined || before.lambda_per_usd < level.lambda_per_usd, `${at}.lambda_per_usd: levels go from the most careful down, so it must be above the ${before?.lambda_per_usd} of the level before`),
    ...unless(start !== undefined, `${at}.states: the state "" is not there, in which every request begins`),
    ...unless(start === undefined || [...start.read, ...start.blind].some((weights) => weights !== null), `${at}.states.: no tier can be run first`),
    ...Object.entries(level.states).flatMap(([key, values]) => stateProblems(model, level, key, values).map((problem) => `${at}.states.${key}${problem}`)),
  ];
}

function stateProblems({ tiers, calibration, classes: { names } }: RoutingModelFile, { states }: RoutingLevel, key: string, { stop, read, blind }: StateValues): string[] {
  const places = placesOf(key, tiers.length);
  if (places === null) return [`: no state; one is named "", "<place>" or "<first place>,<latest place>", of ${tiers.length} tiers`];
  const latest = places.at(-1) ?? -1;
  const known = featuresKnown(names.length, places.length);
  const length = (name: string, weights: readonly number[] | null) => unless(weights === null || weights.length === known, `.${name}: ${weights?.length ?? 0} weights for ${known} features`);
  /** The answer of the dearest tier is always kept, and without a confidence nothing new is known. */
  const goesOn = (place: number) => place < tiers.length - 1 && (calibration[place] ?? null) !== null;
  const step = (name: "read" | "blind", weights: readonly number[] | null, place: number) => {
    if (weights === null) return [];
    const next = [places[0] ?? place, place].filter((one, i, all) => all.indexOf(one) === i).join();
    return [
      ...length(`${name}.${place}`, weights),
      ...unless(place > latest, `.${name}.${place}: the tier is not above the latest that answered`),
      ...unless(name === "blind" || (calibration[place] ?? null) !== null, `.${name}.${place}: the tier has no calibration`),
      ...unless(place <= latest || (name === "blind" && !goesOn(place)) || Object.hasOwn(states, next), `.${name}.${place}: leads to the state ${next}, which is not there`),
    ];
  };
  return [
    ...unless((stop === null) === (places.length === 0), stop === null ? ".stop: null, though there is an answer to keep" : ".stop: there is no answer to keep yet, so it must be null"),
    ...length("stop", stop),
    ...([["read", read], ["blind", blind]] as const).flatMap(([name, steps]) => [
      ...unless(steps.length === tiers.length, `.${name}: ${steps.length} entries for ${tiers.length} tiers`),
      ...steps.flatMap((weights, place) => step(name, weights, place)),
    ]),
  ];
}

/** `null` for a key that names no state. */
function placesOf(key: string, tiers: number): number[] | null {
  if (key === "") return [];
  if (!/^\d{1,2}(,\d{1,2})?$/.test(key)) return null;
  const places = key.split(",").map(Number);
  const isAscending = places.every((place, i) => place < tiers && (i === 0 || place > (places[i - 1] ?? 0)));
  return isAscending && places.join() === key ? places : null;
}
