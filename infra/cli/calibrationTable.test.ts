import { expect, it } from "vitest";

import { calibrationTable } from "./calibrationTable.ts";

const MODEL = { tiers: ["small", "large"], classes: { names: ["sums", "books"], centroids: [] }, calibration: [{ intercept: 0, slope: 2, saturated: 0, class_intercepts: [1, -1], class_slopes: [0, 0] }, null] };

it("shows the curve of each tier, over its classes", () => {
  expect(calibrationTable(MODEL, { byClass: false }).split("\n")).toEqual([
    "TIER   .5    .7    .8    .9    .95   .99   .999",
    "small  50.0  56.6  60.8  66.9  72.1  82.1  91.5",
    "large  -     -     -     -     -     -     -",
  ]);
});
it("shows it by class", () => {
  expect(calibrationTable(MODEL, { byClass: true }).split("\n").slice(0, 3)).toEqual([
    "TIER   CLASS  .5    .7    .8    .9    .95   .99   .999",
    "small  sums   73.1  79.2  82.6  86.7  89.8  94.5  97.7",
    "small  books  26.9  34.0  39.0  47.0  54.4  69.8  85.4",
  ]);
});
