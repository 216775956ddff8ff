import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";

import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };

import type { AuditFile } from "./auditLines.ts";
import type { AuditBatch } from "./auditSource.ts";
import { footerLine, headerLine, lineOf } from "./exportFormat.ts";
import { checkFiles, fileSource } from "./fileSource.ts";

const EVENT = Completion.parse(fixture);
const line = (i: number): string => lineOf(i + 1, { ...EVENT, request_id: `r-${i}` });
const file = (content: string | Buffer, name = "f"): AuditFile => ({ name, open: () => Readable.from([Buffer.from(content)]) });
const running = new AbortController().signal;
async function all(files: readonly AuditFile[], after?: string): Promise<AuditBatch[]> {
  const batches: AuditBatch[] = [];
  for await (const batch of fileSource(files, { total: null }).batches({ signal: running, ...(after === undefined ? {} : { after }) })) batches.push(batch);
  return batches;
}
const seqsOf = (batches: readonly AuditBatch[]): (number | null)[] => batches.flatMap(({ records }) => records.map(({ seq }) => seq));
const whole = (from: number, to: number): string => {
  const text = `${headerLine({ type: "audit_export.v1", made_at: "2026-11-29T12:00:00.000Z", prefix: "infer", source: "x", redacted: false, schema: "completion.v1" })}${Array.from({ length: to - from }, (_, i) => line(from + i)).join("")}`;
  return text + footerLine({ type: "audit_export_end.v1", events: to - from, first_seq: from + 1, last_seq: to, sha256: createHash("sha256").update(text).digest("hex") });
};
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

it("reads plain and compressed exports, several members and several exports in one file, and bare events", async () => {
  expect(seqsOf(await all([file(whole(0, 3))]))).toEqual(upTo(3));
  expect(seqsOf(await all([file(gzipSync(whole(0, 3)))]))).toEqual(upTo(3));
  expect(seqsOf(await all([file(Buffer.concat([gzipSync(whole(0, 3)), gzipSync(whole(3, 5))])), file(whole(5, 6), "g")]))).toEqual(upTo(6));
  expect(seqsOf(await all([file(`${JSON.stringify(EVENT)}\n`)]))).toEqual([null]);
  expect(await checkFiles([file(whole(0, 3)), file(gzipSync(whole(3, 5)))], running)).toEqual({ lines: 5 });
});

it("goes on after each cursor with what is left, and with the same totals", async () => {
  const files = [file(`${whole(0, 700)}{oops}\n`), file(`${line(3)}${line(700)}`, "g")].map((one, i) => (i === 0 ? one : file(`${line(700)}${line(701)}`, "g")));
  const batches = await all(files);
  expect(batches.length).toBeGreaterThan(2);
  expect(seqsOf(batches)).toEqual(upTo(702));
  for (const [i, { cursor }] of batches.entries()) expect(await all(files, cursor)).toEqual(batches.slice(i + 1));
});

it("takes the first of two events of one request, also when the first was before the cursor", async () => {
  const files = [file(`${Array.from({ length: 500 }, (_, i) => line(i)).join("")}${lineOf(501, { ...EVENT, request_id: "r-7" })}`)];
  const [first] = await all(files);
  const [rest] = await all(files, first?.cursor);
  expect([rest?.records, rest?.unreadable]).toMatchObject([[], [{ why: "duplicate" }]]);
});

it("reads no more of an endless file than it hands over", async () => {
  let made = 0;
  const endless: AuditFile = {
    name: "endless",
    open: () => Readable.from((function* () { for (;; made++) yield Buffer.from(line(made)); })(), { objectMode: false, highWaterMark: 2 ** 16 }),
  };
  let handed = 0;
  for await (const { records } of fileSource([endless], { total: null }).batches({ signal: running })) {
    handed += records.length;
    expect(made - handed).toBeLessThan(600);
    if (handed >= 5_000) break;
  }
  expect(handed).toBe(5_000);
});

it("ends when it is asked to, after what it has in hand", async () => {
  const stop = new AbortController();
  const seen: number[] = [];
  for await (const { records } of fileSource([file(whole(0, 1_700))], { total: null }).batches({ signal: stop.signal })) {
    seen.push(records.length);
    stop.abort();
  }
  expect(seen).toEqual([500]);
});
