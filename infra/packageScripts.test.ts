import { expect, it } from "vitest";

import manifest from "../package.json" with { type: "json" };

it("no command needs a pre or post script: npm leaves those out where `ignore-scripts` is set", () => {
  const names = Object.keys(manifest.scripts);
  expect(names.filter((name) => names.some((other) => name === `pre${other}` || name === `post${other}`))).toEqual([]);
});
