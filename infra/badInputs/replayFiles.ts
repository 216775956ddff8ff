/** Files that `inferctl replay` and `inferctl export` may be given, and what comes of each: tested through the command, without a server. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { generatedEvent } from "#infra/bench/generatedEvents.ts";
import { footerLine, headerLine, lineOf } from "#shared/audit/exportFormat.ts";

import { type BadInput, test } from "./badInput.ts";

export interface BadReplayFile {
  readonly id: string;
  readonly input: string;
  readonly content: Buffer | string;
  /** `undefined`: as an export is, plain. */
  readonly isCompressed?: true;
  /** Events that are read, by their numbers; with `refused` none is used. */
  readonly read: readonly number[];
  /** By why, without `--strict`. */
  readonly notRead: Readonly<Record<string, number>>;
  /** Whatever was typed: exit code 65, and what is said. */
  readonly refused?: RegExp;
  /** `--strict` makes nothing of it. */
  readonly isHarmless?: true;
  readonly expected: string;
  readonly note?: string;
}

const line = (i: number, seq: number | null = i + 1): string => lineOf(seq, generatedEvent(i));
const lines = (count: number): string => Array.from({ length: count }, (_, i) => line(i)).join("");
const altered = (i: number, over: object): string => `${JSON.stringify({ seq: i + 1, completion: { ...generatedEvent(i), ...over } })}\n`;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const HEADER = headerLine({ type: "audit_export.v1", made_at: "2026-11-29T12:00:00.000Z", prefix: "infer", source: "COMPLETIONS", redacted: false, schema: "completion.v1" });
/** Whole, of so many events. */
export function exported(count: number): string {
  const text = `${HEADER}${lines(count)}`;
  return `${text}${footerLine({ type: "audit_export_end.v1", events: count, first_seq: 1, last_seq: count, sha256: createHash("sha256").update(text).digest("hex") })}`;
}
/** What is replaced must be there, so that no case passes whose mistake was never made. */
function changed(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the export has no ${from}`);
  return text.replace(from, () => to);
}

const SKIPPED = "skipped, named and counted; `--strict`: exit 65";
const MANY = 2_000;
const BAD_LINE = 1_000;

export const BAD_REPLAY_FILES: readonly BadReplayFile[] = [
  { id: "R-150", input: "an empty file", content: "", read: [], notRead: {}, isHarmless: true, expected: "0 events, exit 0" },
  { id: "R-151", input: "the last line is cut off", content: lines(3).slice(0, -200), read: [0, 1], notRead: { truncated: 1 }, expected: SKIPPED },
  { id: "R-151", input: "an export without its last line", content: `${HEADER}${lines(3)}`, read: [0, 1, 2], notRead: { truncated: 1 }, expected: SKIPPED, note: "What is there was read; what was after it nobody knows." },
  { id: "R-152", input: "a compressed file is cut off", content: gzipSync(exported(400)).subarray(0, -64), isCompressed: true, read: [], notRead: { truncated: 1 }, expected: SKIPPED },
  { id: "R-152", input: "a compressed file is damaged", content: damaged(gzipSync(exported(400))), isCompressed: true, read: [], notRead: { truncated: 1 }, expected: SKIPPED },
  { id: "R-153", input: "a text that is no JSON", content: "a,b,c\n1,2,3\n4,5,6\n7,8,9\n", read: [], notRead: {}, refused: /is no file of JSON lines/, expected: "exit 65 after three lines" },
  { id: "R-153", input: "a text of one line that is no JSON", content: "hello\n", read: [], notRead: {}, refused: /is no file of JSON lines/, expected: "exit 65" },
  { id: "R-154", input: `one line of ${MANY} is no JSON`, content: Buffer.from(Array.from({ length: MANY }, (_, i) => (i === BAD_LINE ? "{oops}\n" : altered(i, { attempts: [], decisions: [] }))).join("")), read: numbers(MANY).filter((i) => i !== BAD_LINE), notRead: { not_json: 1 }, expected: SKIPPED },
  { id: "R-154", input: "an event with a cost below zero", content: `${line(0)}${altered(1, { cost_nano_usd: -1 })}${line(2)}`, read: [0, 2], notRead: { invalid: 1 }, expected: SKIPPED },
  { id: "R-155", input: "two events of one request", content: `${line(0)}${line(1)}${altered(1, { outcome: "failed" }).replace('"seq":2', '"seq":3')}`, read: [0, 1], notRead: { duplicate: 1 }, isHarmless: true, expected: "the first is taken, the others are counted", note: "As far as the last two million events tell, so that memory has a bound." },
  { id: "R-156", input: "sequences that go backwards", content: `${line(1)}${line(0)}`, read: [], notRead: {}, refused: /#1 comes after #2/, expected: "exit 65, says which comes after which", note: "To bring them into order would take as much disk as the file has; an export is in order." },
  { id: "R-156", input: "events without a sequence", content: `${line(1, null)}${line(0, null)}`, read: [1, 0], notRead: {}, isHarmless: true, expected: "in the order of the file", note: "No decision depends on another request's." },
  { id: "R-157", input: "an event of an unknown type", content: `${line(0)}{"type":"surprise.v1"}\n${line(2)}`, read: [0, 2], notRead: { unknown_type: 1 }, expected: SKIPPED },
  { id: "R-157", input: "a line without a type", content: `${line(0)}{"hello":1}\n[1]\n7\n${line(2)}`, read: [0, 2], notRead: { unknown_type: 3 }, expected: SKIPPED },
  { id: "R-158", input: "an event of a later release", content: `${line(0)}${altered(1, { type: "completion.v2" })}`, read: [0], notRead: { newer_version: 1 }, expected: SKIPPED },
  { id: "R-158", input: "an export of a later release", content: changed(exported(2), "audit_export.v1", "audit_export.v2"), read: [], notRead: {}, refused: /audit_export\.v2 is of a later release/, expected: "exit 65" },
  { id: "R-159", input: "NUL in a text", content: `${line(0)}${altered(1, { output: "a\0b" })}`, read: [0], notRead: { invalid: 1 }, expected: SKIPPED },
  { id: "R-159", input: "a lone surrogate in a text", content: `${line(0)}${altered(1, { output: "a\ud800b" })}`, read: [0], notRead: { invalid: 1 }, expected: SKIPPED },
  { id: "R-159", input: "bytes that are no UTF-8", content: Buffer.concat([Buffer.from(line(0)), Buffer.from([0x7b, 0xff, 0xfe, 0x7d, 0x0a]), Buffer.from(line(2))]), read: [0, 2], notRead: { not_json: 1 }, expected: SKIPPED },
  { id: "R-163", input: "an export of which one character was changed", content: changed(exported(3), "user-1", "user-7"), read: [], notRead: {}, refused: /the checksum does not agree/, expected: "exit 65 before an event is used", note: "A file is read twice for it. What comes through a pipe is known at its end: exit 65, and results are void; modes that send something read no pipe." },
  { id: "R-163", input: "an export from which an event was taken", content: exported(3).split("\n").toSpliced(2, 1).join("\n"), read: [], notRead: {}, refused: /the checksum does not agree/, expected: "exit 65 before an event is used" },
  { id: "R-163", input: "the last line of an export alone", content: exported(3).split("\n").slice(4).join("\n"), read: [], notRead: {}, refused: /whose first is not there/, expected: "exit 65" },
  { id: "R-164", input: "times that go backwards", content: `${altered(0, { completed_at_ms: 2_000 })}${altered(1, { completed_at_ms: 1_000 })}`, read: [0, 1], notRead: {}, isHarmless: true, expected: "in the order of their sequences", note: "A decision has its time among its recorded facts." },
];

/** A byte in the middle is another, so that what comes after it is not what it was. */
function damaged(bytes: Buffer): Buffer {
  const middle = Math.floor(bytes.length / 2);
  return Buffer.concat([bytes.subarray(0, middle), Buffer.alloc(64, 0xff), bytes.subarray(middle + 64)]);
}

const FILE = "infra/badInputs/replayFiles.test.ts";
const ELSEWHERE: readonly BadInput[] = [
  { id: "R-149", input: "a file that is not there", expected: "exit 66, names it", tests: [test(FILE, "R-149")] },
  { id: "R-158", input: "an event of the first release", expected: "taken; what it lacks means what `shared/audit/readAuditEvent.ts` says", tests: [test("shared/audit/readAuditEvent.test.ts", "an event of the first release")] },
  { id: "R-160", input: "a file without end", expected: "a batch is in memory, and no more is read ahead", tests: [test("shared/audit/fileSource.test.ts", "reads no more of an endless file than it hands over")] },
  { id: "R-161", input: "`--out` that goes through `..` or a symbolic link, or that is there", expected: "exit 64, nothing is written", tests: [test(FILE, "R-161")] },
  { id: "R-162", input: "`--mode live` of an event whose tenant is not here", expected: "skipped and counted, or `--tenant-map` names another", tests: [test("producers/replay/replayLive.test.ts", "of a tenant that is not here"), test("infra/replay.integration.test.ts", "asks another tenant under another policy")], note: "Without API keys every name is a tenant." },
  { id: "R-165", input: "`--mode live` without `--confirm`, or with another number", expected: "exit 64, nothing is sent", tests: [test("infra/replay.integration.test.ts", "nobody has confirmed it"), test("infra/replay.integration.test.ts", "another number was confirmed")] },
  { id: "R-166", input: "Ctrl-C in the middle of `--mode live`, then `--resume`", expected: "the same totals, and no request twice", tests: [test("infra/replay.integration.test.ts", "interrupted and gone on with comes to the same totals, and sends none twice")] },
  { id: "R-166", input: "Ctrl-C in the middle, then `--resume`", expected: "exit 130, then the same totals and events as without it", tests: [test("infra/cli/commands/replay.test.ts", "the same totals after an interruption"), test("infra/cli/commands/export.test.ts", "the same events after an interruption")] },
];

export const listedReplayFiles = (): BadInput[] => [
  ...BAD_REPLAY_FILES.map(({ id, input, expected, note }) => ({ id, input, expected, tests: [test(FILE, "it.each(BAD_REPLAY_FILES)")], ...(note === undefined ? {} : { note }) })),
  ...ELSEWHERE,
];
