import { expect, test } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { boxAround, overlap, placeLabels } from "./placeLabels.ts";

const bounds = { left: 0, top: 0, right: 800, bottom: 400 };

test("names that are called clear lie on nothing and inside the plot", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = seededRandom(seed);
    const wanted = Array.from({ length: 9 }, (_, i) => ({ x: 800 * random(), y: 400 * random(), text: `model-number-${i}` }));
    const obstacles = wanted.map((point) => boxAround(point, 6, 6));
    const clear = placeLabels(wanted, { bounds, obstacles, onLines: [], fontPx: 13 }).filter(({ isClear }) => isClear);
    expect(clear.length).toBeGreaterThan(6);
    for (const [i, { box }] of clear.entries()) {
      expect([...obstacles, ...clear.slice(i + 1).map((other) => other.box)].some((other) => overlap(box, other))).toBe(false);
      expect(box.left >= 0 && box.right <= 800 && box.top >= 0 && box.bottom <= 400).toBe(true);
    }
  }
});

test("what cannot be placed is not called clear", () => {
  const wanted = Array.from({ length: 9 }, () => ({ x: 30, y: 30, text: "a-name-that-is-wider-than-the-plot" }));
  expect(placeLabels(wanted, { bounds: { left: 0, top: 0, right: 60, bottom: 60 }, obstacles: [], onLines: [], fontPx: 13 }).every(({ isClear }) => !isClear)).toBe(true);
});
