import { expect, it } from "vitest";
import { z } from "zod";

import { makeVerifyWorld } from "#infra/bench/verifyWorld.ts";
import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { Completion } from "#shared/contracts/events.ts";
import current from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import oldest from "./fixtures/oldest_completion.v1.json" with { type: "json" };
import { ABSENT, readAuditEvent } from "./readAuditEvent.ts";

it.each([["an event of the first release", oldest], ["one of today", current]])("%s is read, and nothing is filled in", (_name, event) => {
  expect(readAuditEvent(event)).toEqual({ completion: event });
});

it.each([
  [{ ...current, type: "completion.v2" }, "newer_version"],
  [{ ...current, type: "job.v1" }, "unknown_type"],
  [{ ...current, type: 1 }, "unknown_type"],
  [{}, "unknown_type"],
  [null, "unknown_type"],
  ["completion.v1", "unknown_type"],
  [{ ...current, cost_nano_usd: 0.5 }, "invalid"],
])("what cannot be read has its reason: %#", (event, why) => {
  expect(readAuditEvent(event)).toMatchObject({ why });
});

it("the whole schema is compiled: nothing in it is left to the slower way", () => {
  expect(() => z.compile(Completion, { strict: true })).not.toThrow();
});

type Path = readonly (string | number)[];
/** Of each value within, itself included. */
function pathsIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Array.isArray(value) ? value.map((one, i) => [i, one] as const) : Object.entries(value);
  return [path, ...inner.flatMap(([key, one]) => pathsIn(one, [...path, key]))];
}
const GONE = Symbol("gone");
function withAt(value: unknown, [key, ...rest]: Path, made: unknown): unknown {
  if (key === undefined) return made;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string | number, unknown>;
  const inner = withAt(copy[key], rest, made);
  if (inner === GONE) Reflect.deleteProperty(copy, key);
  else copy[key] = inner;
  return copy;
}
const REPLACEMENTS = [GONE, null, -1, 0.5, 2 ** 60, "", "no such word", [], {}, { unknown: 1 }, [1], true];

it("takes and refuses what the schema does, in the same words, whatever is changed in an event", () => {
  const world = makeVerifyWorld({ seed: 3, traffic: "mixed" });
  const events: unknown[] = [current, oldest, world.next()];
  const taken = { yes: 0, no: 0 };
  for (const event of events) {
    for (const path of pathsIn(event)) {
      for (const made of path.length === 0 ? [event] : REPLACEMENTS) {
        const changed = JSON.parse(JSON.stringify(withAt(event, path, made))) as { type?: unknown };
        if (changed.type !== "completion.v1") continue;
        const expected = Completion.safeParse(changed);
        taken[expected.success ? "yes" : "no"]++;
        const read = readAuditEvent(changed);
        if (JSON.stringify(read) !== JSON.stringify(expected.success ? { completion: expected.data } : { why: "invalid", what: describeIssues(expected.error) })) expect.fail(`${path.join(".")}: ${JSON.stringify(made)}`);
      }
    }
  }
  expect(Math.min(taken.yes, taken.no)).toBeGreaterThan(400);
});

/** Fields of an object that may be left out, with those of what it holds, as `attempts.replica`. What is inside of one that may be absent is its own business, but for facts and usage. */
function optionalIn(schema: unknown, path: string): string[] {
  if (schema instanceof z.ZodOptional) return [path];
  if (schema instanceof z.ZodNullable) return optionalIn(schema.unwrap(), path);
  if (schema instanceof z.ZodArray) return optionalIn(schema.element, path);
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape as Record<string, unknown>).flatMap(([name, inner]) => optionalIn(inner, path === "" ? name : `${path}.${name}`));
}

it("what each optional field means where it is not there is written down", () => {
  const named = new Set(Object.keys(ABSENT));
  expect(optionalIn(Completion, "").filter((path) => !path.startsWith("error.") && !named.has(path))).toEqual([]);
});
