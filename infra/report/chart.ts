/** What is drawn, in the values' own units: two axes, lines, marks with an interval, named points. */
import type { Series } from "./policyKinds.ts";
import type { Domain } from "./scale.ts";

export interface Axis {
  readonly title: string;
  readonly domain: Domain;
  /** `digits`: as many decimals as tell neighbouring ticks apart. */
  readonly format: (value: number, digits: number) => string;
}
export interface ValuePoint {
  readonly x: number;
  readonly y: number;
}
export interface Line {
  readonly series: Series;
  /** In the order in which they are joined. */
  readonly points: readonly ValuePoint[];
}
export interface Mark extends ValuePoint {
  readonly series: Series;
  /** For one whose floor is not proved. */
  readonly isHollow: boolean;
  /** Of x. */
  readonly interval: Domain | null;
  /** Shown under the pointer, and read out. */
  readonly says: string;
}
export interface Landmark extends ValuePoint {
  readonly name: string;
  /** Instead of the name, where names do not all fit. */
  readonly short: string;
  /** What stands behind the name when the point is beyond an axis and drawn at its edge. */
  readonly beyond: { readonly x: string; readonly y: string };
  readonly isHollow: boolean;
  readonly says: string;
}
export interface Reference {
  readonly y: number;
  readonly text: string;
}
export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly marks: readonly Mark[];
  readonly landmarks: readonly Landmark[];
  /** What a landmark is: one that is filled, one that is hollow. */
  readonly landmarkTexts: { readonly filled: string; readonly hollow: string };
  readonly references: readonly Reference[];
  /** Families that have a line or a mark here. */
  readonly series: readonly Series[];
}
