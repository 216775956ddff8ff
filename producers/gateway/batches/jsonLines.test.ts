import { expect, it } from "vitest";

import { jsonLines } from "./jsonLines.ts";

const LIMITS = { mostLines: 10, mostBytes: 1024 ** 2 };
async function read(chunks: readonly (string | Uint8Array)[], limits = LIMITS) {
  const source = (async function* () { for (const chunk of chunks) yield Buffer.from(chunk as string); })();
  const found: unknown[] = [];
  for await (const { line, value } of jsonLines(source, limits)) found.push([line, value]);
  return found;
}

it("numbers the lines, wherever the chunks are cut, and leaves blank ones out", async () => {
  const text = '{"a":"ä€😀"}\n\n  \r\n{"b":2}\r\n[3]';
  const bytes = Buffer.from(text);
  const expected = [[1, { a: "ä€😀" }], [2, { b: 2 }], [3, [3]]];
  for (let size = 1; size <= bytes.length; size++) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
    expect(await read(chunks)).toEqual(expected);
  }
});

it.each<[string, (string | Uint8Array)[], object]>([
  ["no JSON", ['{"a":1}\n{"a":'], { code: "invalid_json", publicMessage: "line 2: the body is not valid JSON" }],
  ["a polluting key", ['{"__proto__":1}'], { code: "invalid_json", publicMessage: expect.stringContaining("line 1") as string }],
  ["bytes that are not UTF-8", [new Uint8Array([0x22, 0xff, 0x22])], { code: "invalid_unicode" }],
  ["too many lines", ["1\n".repeat(11)], { code: "payload_too_large", publicMessage: "at most 10 lines" }],
  ["a line without an end", [`"${"x".repeat(300 * 1024)}`], { code: "payload_too_large", publicMessage: expect.stringContaining("line 1: longer than") as string }],
  ["too much", ["1\n".repeat(9), " ".repeat(1024 ** 2)], { code: "payload_too_large", publicMessage: "at most 1 MiB" }],
])("refuses %s, and says where", async (_what, chunks, error) => {
  await expect(read(chunks)).rejects.toMatchObject(error);
});

it("of nothing is nothing", async () => {
  expect(await read([])).toEqual([]);
});
