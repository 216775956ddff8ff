import { expect, it } from "vitest";

import type { AuditSource, Unreadable } from "#shared/audit/auditSource.ts";

import { howFar, watchSource } from "./watchSource.ts";

it.each([
  [{ read: 0, readNow: 0, total: null, forMs: 0 }, "0 events, 0/s"],
  [{ read: 12_000, readNow: 12_000, total: null, forMs: 500 }, "12,000 events, 24,000/s"],
  [{ read: 600, readNow: 100, total: 1_000, forMs: 1_000 }, "[##############..........]  60 % 600 of 1,000 events, 100/s, 4 s left"],
  [{ read: 1_001, readNow: 1_001, total: 1_000, forMs: 1_000 }, "[########################] 100 % 1,001 of 1,000 events, 1,001/s, 0 s left"],
])("%j", (far, text) => { expect(howFar(far)).toBe(text); });

const sourceOf = (unreadable: readonly Unreadable[]): AuditSource => ({
  name: "s", total: null, start: "0",
  async *batches() { yield { records: [], unreadable, cursor: "1" }; },
});
const watched = (unreadable: readonly Unreadable[], isStrict: boolean) => watchSource(sourceOf(unreadable), { readBefore: 0, isStrict, tell: undefined, now: () => 0 });
async function drained({ source }: ReturnType<typeof watchSource>): Promise<void> {
  for await (const { records } of source.batches({ signal: new AbortController().signal })) expect(records).toEqual([]);
}

it("names the first few and counts all, a gap by what is missing in it", async () => {
  const one = watched([{ at: "#5 to #9", why: "gone", what: "aged out", count: 5 }, ...Array.from({ length: 20 }, (_, i): Unreadable => ({ at: `line ${i}`, why: "invalid", what: "no cost" }))], false);
  await drained(one);
  expect(one.unread()).toEqual({ gone: 5, invalid: 20 });
  expect(one.unreadLines().slice(0, 3)).toEqual(["not read: 5 not there any more, 20 not as its schema says", "  #5 to #9: aged out", "  line 0: no cost"]);
  expect(one.unreadLines()).toHaveLength(12);
  expect(watched([], false).unreadLines()).toEqual([]);
});

it.each<[Unreadable["why"], boolean]>([["not_json", true], ["invalid", true], ["newer_version", true], ["unknown_type", true], ["truncated", true], ["gone", true], ["duplicate", false], ["erased", false]])("with --strict %s ends it: %s", async (why, isEnd) => {
  const reading = drained(watched([{ at: "line 7", why, what: "w" }], true));
  if (isEnd) await expect(reading).rejects.toMatchObject({ exitCode: 65, message: "s, line 7: w" });
  else await reading;
});
