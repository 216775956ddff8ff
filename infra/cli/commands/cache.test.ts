import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { callInferctl } from "../callInferctl.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-cache-"));
afterAll(() => { rmSync(folder, { recursive: true }); });
const file = (...lines: (object | string)[]): string => {
  const path = join(folder, "pairs.jsonl");
  writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return path;
};
const inferctl = (...args: string[]) => callInferctl(args, {});
const PAIR = { a: "What is DNS?", b: "what's dns", same: true };

describe("inferctl cache evaluate", () => {
  it("counts hits and false hits, with their intervals, and names the false ones", async () => {
    const pairs = file(PAIR, { a: "What is TCP?", b: "What is UDP?", same: false, kind: "name" }, "", { a: "How do I boil an egg?", b: "How to boil an egg", same: false });
    const { code, printed } = await inferctl("cache", "evaluate", "--pairs", pairs);
    expect(code).toBe(0);
    expect(printed).toMatch(/same question: hits\s+1\s+1\s+100.0 %\s+2.5 % to 100.0 %/);
    expect(printed).toMatch(/other question: false hits among pairs\s+2\s+1\s+50.0 %\s+1.3 % to 98.7 %/);
    expect(printed).toContain('false hit: "How do I boil an egg?" and "How to boil an egg"');
    expect(JSON.parse((await inferctl("cache", "evaluate", "--pairs", pairs, "--json")).printed)).toMatchObject({ guard_version: 2, hit_rate: { pairs: 1, hits: 1 }, false_hit_rate: { pairs: 2, hits: 1 }, false_hits: [{ b: "How to boil an egg" }] });
  });

  it.each<[string, () => string, string]>([
    ["no JSON", () => file(PAIR, "{"), "pairs.jsonl:2: "],
    ["a line without its label", () => file(PAIR, "", { a: "x", b: "y" }), "pairs.jsonl:3: same"],
    ["a field that nobody knows", () => file({ ...PAIR, label: 1 }), "pairs.jsonl:1: "],
    ["a pair twice", () => file(PAIR, { ...PAIR, a: PAIR.b, b: PAIR.a }), "pairs.jsonl:2: this pair was there before"],
    ["no file", () => join(folder, "none.jsonl"), "none.jsonl: "],
  ])("%s: says where", async (_name, make, message) => {
    expect(await inferctl("cache", "evaluate", "--pairs", make())).toMatchObject({ code: 64, errors: expect.stringContaining(message) as string });
  });

  it.each([[["cache"], "say what to do"], [["cache", "evaluate"], "--pairs <file>"], [["cache", "clear"], 'there is no "cache clear"']])("%j says what is wrong", async (args, message) => {
    expect(await inferctl(...args)).toMatchObject({ code: 64, errors: expect.stringContaining(message) as string });
  });
});
