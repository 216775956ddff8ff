/** The test of the floor on streams whose mean margin is known: false alarms at exactly 0, and delays after a drop. Pure. */
import { textTable } from "#infra/cli/textTable.ts";
import { quantileOf } from "#router/evaluation/routingMetrics.ts";
import { floorState, type FloorTarget, isInDoubt, withMargin } from "#router/learning/floorTest.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

export interface SimulatedFloor {
  readonly margins: number;
  readonly false_alarms: readonly { readonly margins_of: string; readonly streams: number; readonly share: number }[];
  /** Margins after the drop until the alarm; `null`: not within 40,000. */
  readonly delays: readonly { readonly drop: number; readonly after: number; readonly median: number | null; readonly p90: number | null }[];
}
interface Options {
  readonly target: number;
  readonly risk: number;
  readonly runs: number;
  readonly seed: number;
}
type Draw = (random: () => number) => number;

const MARGINS = 5_000;
const AT_MOST = 40_000;
const DROPS = [0.1, 0.05, 0.02];
const STARTS = [0, 2_000, 5_000];

export function simulateFloor({ target, risk, runs, seed }: Options): SimulatedFloor {
  const agreeing = (lost: number): Draw => (random) => (random() < lost ? -target : 1 - target);
  /** The kept answer alone is wrong, alone right, both are right, or neither; as often alone right as a mean of 0 needs. */
  const evenly = (lost: number, both: number): Draw => (random) => {
    const [at, won] = [random(), target * lost - (1 - target) * both];
    if (at < lost) return -target;
    if (at < lost + won) return 1;
    return at < lost + won + both ? 1 - target : 0;
  };
  const alarmAfter = (margins: FloorTarget["margins"], random: () => number, draw: (i: number) => Draw, atMost: number): number => {
    let state = floorState({ target, margins });
    for (let i = 0; i < atMost; i++) {
      state = withMargin(state, draw(i)(random));
      if (isInDoubt(state, risk)) return i + 1;
    }
    return Infinity;
  };
  const kinds: [string, FloorTarget["margins"], Draw][] = [
    ["agreement of exactly the target", "single", agreeing(1 - target)],
    ["the same, in the wider range", "paired", agreeing(1 - target)],
    ["judged answers that seldom differ", "paired", evenly(0.05, 0.75)],
    ["judged answers that often differ", "paired", evenly(0.2, 0.5)],
    ["win or lose everything", "paired", (random) => (random() < 1 / (1 + target) ? -target : 1)],
  ];
  const falseAlarms = kinds.map(([margins_of, margins, draw]) => {
    const random = seededRandom(seed);
    const alarms = Array.from({ length: runs }, () => alarmAfter(margins, random, () => draw, MARGINS)).filter(Number.isFinite);
    return { margins_of, streams: runs, share: alarms.length / runs };
  });
  const delays = DROPS.flatMap((drop) => STARTS.map((after) => {
    const random = seededRandom(seed);
    const [good, bad] = [agreeing((1 - target) / 2), agreeing((1 - target) / 2 + drop)];
    // Streams with an alarm before the drop are left out: that one was false.
    const found = Array.from({ length: Math.ceil(runs / 10) }, () => alarmAfter("single", random, (i) => (i < after ? good : bad), after + AT_MOST) - after).filter((delay) => delay > 0);
    const at = (share: number) => {
      const value = quantileOf(found, share) ?? Infinity;
      return Number.isFinite(value) ? value : null;
    };
    return { drop, after, median: at(0.5), p90: at(0.9) };
  }));
  return { margins: MARGINS, false_alarms: falseAlarms, delays };
}

export function describeSimulated({ margins, false_alarms, delays }: SimulatedFloor): string {
  const cell = (drop: number, after: number) => {
    const found = delays.find((one) => one.drop === drop && one.after === after);
    return `${found?.median ?? "-"} (${found?.p90 ?? "-"})`;
  };
  return `${textTable([`MEAN MARGIN 0, ${margins} MARGINS`, "STREAMS", "WITH A (FALSE) ALARM %"], false_alarms.map((one) => [one.margins_of, String(one.streams), (100 * one.share).toFixed(1)]))}

Shadowed requests from a drop of agreement until the alarm, median (p90); before it, half of what the target allows is lost:
${textTable(["DROP, POINTS", ...STARTS.map((after) => `AFTER ${after}`)], DROPS.map((drop) => [String(100 * drop), ...STARTS.map((after) => cell(drop, after))]))}`;
}
