import { describe, expect, it } from "vitest";

import { parseJson } from "./parseJson.ts";

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
