import { expect, test } from "vitest";

import { commandLine } from "./commandLine.ts";

test("a command can be typed again", () => {
  expect(commandLine("evaluate", { train: ["a.jsonl", "it's b.jsonl"], folds: "5", json: true, out: undefined })).toBe("inferctl evaluate --train a.jsonl --train 'it'\\''s b.jsonl' --folds 5 --json");
});
