import { expect, it } from "vitest";
import { z } from "zod";

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
