import { expect, it } from "vitest";

import type { AuditBatch, AuditSource } from "#shared/audit/auditSource.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import { workThrough, type WorkOptions } from "./workThrough.ts";

/** Batches of three; `after` is the last number that was read. */
const sourceOf = (total: number): Pick<AuditSource, "batches"> => ({
  async *batches({ after = "0", signal }): AsyncGenerator<AuditBatch> {
    for (let from = Number(after) + 1; from <= total && !signal.aborted; from += 3) {
      const numbers = Array.from({ length: Math.min(3, total - from + 1) }, (_, i) => from + i);
      yield { records: numbers.map((seq) => ({ seq, completion: Completion.parse({ ...fixture, request_id: `r-${seq}`, accepted_at_ms: seq }) })), unreadable: [], cursor: String(numbers.at(-1)) };
    }
  },
});
interface Sums { sum: number }
const kept = () => {
  const places: [string, number][] = [];
  return { places, ended: async (cursor: string, { sum }: Sums) => void places.push([cursor, sum]) };
};
const options = (over: Partial<WorkOptions<Sums, number>> & Pick<WorkOptions<Sums, number>, "ended">): WorkOptions<Sums, number> => ({
  source: sourceOf(9), signal: new AbortController().signal, concurrency: 4, newTally: () => ({ sum: 0 }), unreadable: () => undefined, prepare: async ({ seq }) => Promise.resolve(seq ?? -1),
  begin: async (_record, seq, tally) => async () => { tally.sum += seq; return "done"; }, ...over,
});
const gate = () => {
  let open: () => void = () => undefined;
  return { passed: new Promise<void>((resolve) => { open = resolve; }), open: () => { open(); } };
};

it("keeps each batch with what came of it", async () => {
  const { places, ended } = kept();
  expect(await workThrough(options({ ended }))).toEqual([]);
  expect(places).toEqual([["3", 6], ["6", 15], ["9", 24]]);
});

it("keeps no batch before those in front of it have ended, and never has more under way than it may", async () => {
  const { places, ended } = kept();
  const first = gate(), others = gate();
  let underWay = 0, most = 0;
  const running = workThrough(options({ ended, begin: async (_record, seq, tally) => async () => {
    most = Math.max(most, ++underWay);
    await (seq === 1 ? first.passed : Promise.resolve());
    tally.sum += seq;
    underWay -= 1;
    if (seq === 9) others.open();
    return "done";
  } }));
  await others.passed;
  expect(places).toEqual([]);
  first.open();
  await running;
  expect(places).toEqual([["3", 6], ["6", 15], ["9", 24]]);
  expect(most).toBeLessThanOrEqual(4);
});

it("at the signal begins no more, lets what is under way end, and comes to the same as an uninterrupted run when it goes on", async () => {
  const { places, ended } = kept();
  const stop = new AbortController();
  const left = await workThrough(options({ ended, signal: stop.signal, begin: async (_record, seq, tally) => async () => {
    tally.sum += seq;
    if (seq === 5) stop.abort();
    return "done";
  } }));
  expect(places).toEqual([["3", 6]]);
  expect(left).toEqual([{ sum: 9 }]);
  await workThrough(options({ ended, after: "3" }));
  expect(places).toEqual([["3", 6], ["6", 15], ["9", 24]]);
});

it("stops where it is told to, and does not keep that batch", async () => {
  const { places, ended } = kept();
  await workThrough(options({ ended, begin: async (_record, seq, tally) => (seq === 6 ? "stop" : async () => { tally.sum += seq; return "done"; }) }));
  expect(places).toEqual([["3", 6]]);
});

it("throws what a piece of work throws, and keeps neither its batch nor one after it", async () => {
  const { places, ended } = kept();
  const failing = workThrough(options({ ended, concurrency: 1, begin: async (_record, seq) => async () => { if (seq === 5) throw new Error("no"); return "done"; } }));
  await expect(failing).rejects.toThrow("no");
  expect(places).toEqual([["3", 0]]);
});

it("does not keep a batch of which something has to be done again", async () => {
  const { places, ended } = kept();
  await workThrough(options({ ended, begin: async (_record, seq) => async () => (seq === 8 ? "unfinished" : "done") }));
  expect(places.map(([cursor]) => cursor)).toEqual(["3", "6"]);
});
