import { expect, it } from "vitest";

import { csvOf } from "./csv.ts";

it("quotes what needs it, leaves empty what is not known, and lets no text be a formula", () => {
  expect(csvOf(["group", "cost"], [["plain", 1], ['a "b", c', -2], ["two\nlines", "-3"], [null, 0], ["=HYPERLINK(1)", "-x"], ["@SUM(A1)", "+1"], ["-1+1", true]])).toBe(
    ["group,cost", "plain,1", '"a ""b"", c",-2', '"two\nlines",-3', ",0", "'=HYPERLINK(1),'-x", "'@SUM(A1),'+1", "'-1+1,true"].join("\n"));
});
