import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { makeEventParser } from "./eventParser.ts";

/** `step`: bytes that come at once. */
function parse(text: string | Uint8Array, step = Infinity, mostUnits = 1_000): string[] {
  const bytes = Buffer.from(text);
  const parser = makeEventParser(mostUnits);
  const events: string[] = [];
  for (let at = 0; at < bytes.length; at += step) events.push(...parser.push(bytes.subarray(at, Math.min(bytes.length, at + step))));
  return [...events, ...parser.end()];
}

describe("finds the data", () => {
  it.each([
    ["of one event", "data: a\n\n", ["a"]],
    ["without the space", "data:a\n\n", ["a"]],
    ["with one space less, not more", "data:  a\n\n", [" a"]],
    ["of several lines", "data: a\ndata: b\n\n", ["a\nb"]],
    ["between CRLFs", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["between CRs", "data: a\r\rdata: b\r\r", ["a", "b"]],
    ["and not comments, other fields or blank lines", ": ping\n\n\nevent: x\nid: 1\ndata: a\nretry: 5\ndatum: 7\n\n", ["a"]],
    ["behind a byte order mark", "\uFEFFdata: a\n\n", ["a"]],
    ["of more than one byte a letter", "data: Übergröße 🙂\n\n", ["Übergröße 🙂"]],
    ["of a last event without its blank line", "data: a\n\ndata: [DONE]", ["a", "[DONE]"]],
    ["that is empty", "data\n\n", [""]],
    ["in nothing", "", []],
  ])("%s, however it is cut", (_name, text, expected) => {
    for (const step of [1, 2, 3, Infinity]) expect(parse(text, step)).toEqual(expected);
  });
});

it("gives back any text without line ends, however it is cut", () => {
  const texts = fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll(/[\r\n]/g, "")), { maxLength: 5 });
  fc.assert(fc.property(texts, fc.integer({ min: 1, max: 20 }), fc.constantFrom("\n", "\r\n", "\r"), (events, step, eol) => {
    expect(parse(events.map((text) => `data: ${text}${eol}${eol}`).join(""), step)).toEqual(events);
  }));
});

describe("holds no more than its cap", () => {
  it.each([
    ["in a line without end", `data: ${"x".repeat(2_000)}`],
    ["in a comment without end", `: ${"x".repeat(2_000)}`],
    ["in lines of one event", "data: xxxxxxxxx\n".repeat(200)],
  ])("%s", (_name, text) => { expect(() => parse(text, 64)).toThrow(RangeError); });

  it("but events and comments without number", () => { expect(parse(": ping\n\ndata: xxxxxxxxx\n\n".repeat(1_000), 64)).toHaveLength(1_000); });
});

it.each([["broken", [0x64, 0xff, 0x0a]], ["cut", [0x64, 0xc3]]])("refuses UTF-8 that is %s", (_name, bytes) => { expect(() => parse(Uint8Array.from(bytes))).toThrow(TypeError); });
