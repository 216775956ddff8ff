import { expect, it } from "vitest";

import { checkSchema } from "./jsonSchema.ts";

const COLOUR = { type: "object", properties: { colour: { type: "string", enum: ["red", "blue"] }, shade: { type: ["number", "null"] } }, required: ["colour"], additionalProperties: false };

it.each<[string, object, unknown, ReturnType<typeof checkSchema>]>([
  ["what matches", COLOUR, { colour: "red", shade: null }, "valid"],
  ["a value that is not among those allowed", COLOUR, { colour: "green" }, "invalid"],
  ["a property too many", COLOUR, { colour: "red", size: 1 }, "invalid"],
  ["one too few", COLOUR, {}, "invalid"],
  ["another type", COLOUR, ["red"], "invalid"],
  ["definitions of an older draft, which it names", { $schema: "http://json-schema.org/draft-07/schema#", $ref: "#/definitions/c", definitions: { c: COLOUR } }, { colour: "green" }, "invalid"],
  ["a schema that calls itself", { $ref: "#/$defs/tree", $defs: { tree: { type: "object", properties: { next: { $ref: "#/$defs/tree" } }, additionalProperties: false } } }, { next: { next: { nexd: 1 } } }, "invalid"],
  ["a format, of which nothing is known here", { type: "string", format: "email" }, "no address", "valid"],
  ["a document that would have to be fetched", { $ref: "https://example.com/schema.json" }, 1, "unchecked"],
  ["no schema", { type: "strin" }, "text", "unchecked"],
])("of %s", (_what, schema, value, verdict) => {
  expect(checkSchema(schema, value)).toBe(verdict);
  expect(checkSchema(schema, value)).toBe(verdict); // compiled by now
});

/** Each definition asks the one below twice. */
const exponential = (depth: number) => ({
  $ref: `#/$defs/d${depth}`,
  $defs: Object.fromEntries(Array.from({ length: depth + 1 }, (_, i) => [`d${i}`, i === 0 ? { type: "number" } : { anyOf: [{ $ref: `#/$defs/d${i - 1}` }, { $ref: `#/$defs/d${i - 1}` }] }])),
});
it.each<[string, object, unknown]>([
  ["a pattern that backtracks for ever", { type: "string", pattern: "^(a+)+$" }, `${"a".repeat(60)}!`],
  ["references that double at each level", exponential(60), "text"],
  ["uniqueness in a long list of objects", { type: "array", uniqueItems: true }, Array.from({ length: 20_000 }, (_, i) => ({ deep: { i } }))],
])("gives up on %s, and goes on", (_what, schema, value) => {
  const startedAtMs = performance.now();
  expect(checkSchema(schema, value)).toBe("unchecked");
  const againAtMs = performance.now();
  expect(againAtMs - startedAtMs).toBeLessThan(2_000);
  expect(checkSchema(schema, value)).toBe("unchecked"); // known by now
  expect(performance.now() - againAtMs).toBeLessThan(50);
  expect(checkSchema(COLOUR, { colour: "blue" })).toBe("valid");
});

it("forgets schemas that were not used lately, and only knows them anew", () => {
  const schemas = Array.from({ length: 200 }, (_, i) => ({ type: "object", required: [`p${i}`] }));
  for (const [i, schema] of schemas.entries()) expect(checkSchema(schema, { [`p${i}`]: 1 })).toBe("valid");
  expect(checkSchema(schemas[0] ?? {}, {})).toBe("invalid");
});
