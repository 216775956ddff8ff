/**
 * Names beside points so that none lies on another, on a mark or outside the plot, and few on a line. Each takes the best
 * place around its point given the others'; a few rounds settle it. Pure; the same points give the same places.
 */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}
export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Wanted extends Point {
  readonly text: string;
}
export interface Placed {
  readonly text: string;
  readonly box: Box;
  /** From the point to the name, when it is not at once clear whose it is. */
  readonly leader: readonly [Point, Point] | null;
  /** Nothing is under it that must not be, and it is near enough to its point. */
  readonly isClear: boolean;
}
export interface Surroundings {
  readonly bounds: Box;
  readonly obstacles: readonly Box[];
  /** Places on lines, which a name may cover only when there is no better place. */
  readonly onLines: readonly Point[];
  readonly fontPx: number;
}

const NARROW = /[ijlI.,:;|'!()[\]ftr -]/;
const WIDE = /[mwMW%@]/;
const CAPITAL = /[A-Z]/;
const emOf = (character: string): number => (NARROW.test(character) ? 0.34 : WIDE.test(character) ? 0.9 : CAPITAL.test(character) ? 0.7 : (character.codePointAt(0) ?? 0) > 0x2e7f ? 1 : 0.57);
/** In pixels, of a common sans-serif; rather too much than too little. */
export const textWidth = (text: string, fontPx: number): number => fontPx * Array.from(text).reduce((sum, character) => sum + emOf(character), 0);

export const overlap = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
export const boxAround = ({ x, y }: Point, halfWidth: number, halfHeight: number): Box => ({ left: x - halfWidth, top: y - halfHeight, right: x + halfWidth, bottom: y + halfHeight });

const DISTANCES = [8, 15, 25, 38, 54, 72];
const DIRECTIONS = Array.from({ length: 24 }, (_, i) => (i * Math.PI) / 12);
const ROUNDS = 4;
const COST = { covered: 400, outside: 400, crossed: 60, onLine: 5, perPixel: 0.45 };
const LEADER_FROM_PX = 15;

interface Place {
  readonly box: Box;
  readonly leader: Placed["leader"];
}

export function placeLabels(wanted: readonly Wanted[], surroundings: Surroundings): Placed[] {
  const places = new Map<Wanted, Place>();
  const others = (point: Wanted): Place[] => [...places].flatMap(([other, place]) => (other === point ? [] : [place]));
  for (let round = 0; round < ROUNDS; round++) for (const point of wanted) places.set(point, bestPlace(point, others(point), surroundings));
  return [...places].map(([point, place]) => ({ text: point.text, ...place, isClear: faultsOf(point, place, others(point), surroundings) === 0 && isNear(place, surroundings) }));
}

const LONGEST_LEADER_EM = 3.5;
const isNear = ({ leader }: Place, { fontPx }: Surroundings): boolean => leader === null || Math.hypot(leader[1].x - leader[0].x, leader[1].y - leader[0].y) <= LONGEST_LEADER_EM * fontPx;

function bestPlace(point: Wanted, others: readonly Place[], surroundings: Surroundings): Place {
  const [halfWidth, halfHeight] = [textWidth(point.text, surroundings.fontPx) / 2 + 2, 0.62 * surroundings.fontPx];
  const places = DISTANCES.flatMap((distance) => DIRECTIONS.map((angle) => {
    const box = boxAround({ x: point.x + Math.cos(angle) * (distance + halfWidth), y: point.y + Math.sin(angle) * (distance + halfHeight) }, halfWidth, halfHeight);
    const place = { box, leader: leaderTo(point, box) };
    const under = surroundings.onLines.filter((at) => holds(box, at)).length;
    return { place, cost: faultsOf(point, place, others, surroundings) + COST.onLine * under + COST.perPixel * distance };
  }));
  return places.reduce((best, one) => (one.cost < best.cost ? one : best)).place;
}

/** 0: the name covers nothing, and no leader, its own or another's, runs across a name or a mark. */
function faultsOf(point: Point, { box, leader }: Place, others: readonly Place[], { bounds, obstacles }: Surroundings): number {
  const covered = [...others.map((other) => other.box), ...obstacles].filter((other) => overlap(box, other)).length;
  const ahead = [...others.map((other) => other.box), ...obstacles.filter((obstacle) => !holds(obstacle, point))];
  const crossed = ahead.filter((other) => leader !== null && alongLine(leader).some((at) => holds(other, at))).length
    + others.filter((other) => other.leader !== null && alongLine(other.leader).some((at) => holds(box, at))).length;
  return COST.covered * covered + COST.crossed * crossed + (inside(box, bounds) ? 0 : COST.outside);
}

export const holds = ({ left, right, top, bottom }: Box, { x, y }: Point): boolean => x > left && x < right && y > top && y < bottom;
const STEP_PX = 5;
/** From the first to just before the second. */
export function alongLine([from, to]: readonly [Point, Point]): Point[] {
  const steps = Math.min(400, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / STEP_PX));
  return Array.from({ length: steps }, (_, step) => ({ x: from.x + ((to.x - from.x) * step) / steps, y: from.y + ((to.y - from.y) * step) / steps }));
}

const inside = (box: Box, bounds: Box): boolean => box.left >= bounds.left && box.right <= bounds.right && box.top >= bounds.top && box.bottom <= bounds.bottom;

function leaderTo({ x, y }: Point, { left, right, top, bottom }: Box): readonly [Point, Point] | null {
  const end = { x: Math.min(Math.max(x, left), right), y: Math.min(Math.max(y, top), bottom) };
  const length = Math.hypot(end.x - x, end.y - y);
  return length < LEADER_FROM_PX ? null : [{ x: x + ((end.x - x) * 6) / length, y: y + ((end.y - y) * 6) / length }, end];
}
