import { describe, expect, it } from "vitest";

import { MOST_MEMBERS, parseJson } from "./parseJson.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const codeOf = (data: Uint8Array): unknown => {
  try {
    return parseJson(data);
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

describe("takes", () => {
  it.each<[string, string, unknown]>([
    ["a byte order mark", '\ufeff{"a":1}', { a: 1 }],
    ["duplicate keys, of which the last wins", '{"a":1,"a":2}', { a: 2 }],
    ["emoji and escapes", '{"a":"🌍\\u00e9"}', { a: "🌍é" }],
    ["null", "null", null],
    ["a key named constructor that holds no prototype", '{"constructor":{"a":1}}', { constructor: { a: 1 } }],
    ["the word __proto__ as a value", '{"a":"__proto__"}', { a: "__proto__" }],
  ])("%s", (_name, text, value) => {
    expect(parseJson(bytes(text))).toEqual(value);
  });
});

describe("refuses as invalid_json", () => {
  it.each([
    ["nothing", ""],
    ["blanks", " \n"],
    ["an open brace", "{a"],
    ["a trailing comma", '{"a":1,}'],
    ["NaN", '{"a":NaN}'],
    ["two values", "{}{}"],
    ["a comment", "{} // x"],
    ["__proto__", '{"__proto__":{"admin":true}}'],
    ["__proto__ in escapes", '{"\\u005f_proto__":{}}'],
    ["__proto__ all in escapes", '{"\\u005f\\u005F\\u0070\\u0072\\u006f\\u0074\\u006f\\u005f\\u005f":{}}'],
    ["constructor.prototype in escapes", '{"const\\u0072uctor":{"prototyp\\u0065":1}}'],
    ["__proto__ deep inside", '{"a":{"b":[{"c":{"__proto__":1}}]}}'],
    ["constructor.prototype", '{"constructor":{"prototype":{"admin":true}}}'],
    ["constructor.prototype deep inside", '{"a":[{"constructor":{"prototype":1}}]}'],
    ["msgpack", "\u0001\u0002"],
  ])("%s", (_name, text) => {
    expect(codeOf(bytes(text))).toBe("invalid_json");
  });
});

it.each([
  ["a lone continuation byte", [0x22, 0x80, 0x22]],
  ["an overlong slash", [0x22, 0xc0, 0xaf, 0x22]],
  ["an encoded surrogate", [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ["UTF-16", [0xff, 0xfe, 0x7b, 0x00]],
  ["gzip", [0x1f, 0x8b, 0x08, 0x00]],
])("refuses %s as invalid_unicode, never repairing it", (_name, data) => {
  expect(codeOf(new Uint8Array(data))).toBe("invalid_unicode");
});

it("neither crashes nor stalls on 30,000 levels", () => {
  const nested = `${"[".repeat(30_000)}${"]".repeat(30_000)}`;
  expect(["invalid_json", "object"]).toContain(typeof codeOf(bytes(nested)) === "string" ? codeOf(bytes(nested)) : "object");
  const withKeys = `${'{"__proto":'.repeat(30_000)}1${"}".repeat(30_000)}`;
  expect(["string", "object"]).toContain(typeof codeOf(bytes(withKeys)));
});

it("leaves prototypes alone", () => {
  codeOf(bytes('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'));
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

describe("an object with many members", () => {
  const members = (count: number, value: string) => Array.from({ length: count }, (_, i) => `"key${i}":${value}`).join();
  it.each<[string, string, string | undefined]>([
    ["as many as may be", `{"a":{${members(MOST_MEMBERS, "1")}}}`, undefined],
    ["one more", `{"a":{${members(MOST_MEMBERS + 1, "1")}}}`, "invalid_request"],
    ["one more, in an array", `[[{${members(MOST_MEMBERS + 1, '"x"')}}]]`, "invalid_request"],
    ["as many in several objects", `[${`{${members(100, "1")}},`.repeat(100)}1]`, undefined],
    ["none, but a text that looks like it", JSON.stringify({ a: `{${members(2 * MOST_MEMBERS, "1")}}` }), undefined],
    ["none, but a text that ends in escapes, with many behind", `{"a":"${"\\\\".repeat(20_000)}","b":{${members(MOST_MEMBERS + 1, "1")}}}`, "invalid_request"],
    ["none, and no end of a text", `"${"\\".repeat(40_001)}`, "invalid_json"],
    ["none, and an array that is closed more often than opened", `${"]".repeat(30_000)}:`, "invalid_json"],
  ])("%s", (_name, text, code) => {
    const read = codeOf(bytes(text));
    expect(typeof read === "string" ? read : undefined).toBe(code);
  });

  it("is refused before anything of it is parsed", () => {
    const large = bytes(`{${members(20_000, "0")}}`);
    const quickest = (run: () => unknown) => Math.min(...Array.from({ length: 5 }, () => {
      const startedAtMs = performance.now();
      run();
      return performance.now() - startedAtMs;
    }));
    expect(quickest(() => codeOf(large))).toBeLessThan(quickest(() => parseJson(bytes(`[${`{${members(4_000, "0")}},`.repeat(5)}0]`))));
  });
});
