/** The lines of a file of audit events, compressed or not, as they stream by. A checksum that does not agree ends it with an error. */
import { createHash, type Hash } from "node:crypto";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";

import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { byteLines, isBlankLine } from "#shared/runtime/byteLines.ts";

import { ExportFooter, ExportHeader, isFooter, isHeader } from "./exportFormat.ts";

export interface AuditFile {
  readonly name: string;
  /** From the beginning. */
  readonly open: () => Readable;
}
export interface AuditLine {
  /** From 1 on. */
  readonly number: number;
  readonly bytes: Buffer;
  /** The file ends here, without a line end. */
  readonly isUnended: boolean;
}
/** What ended too early, with what it was. */
export interface CutOff {
  readonly number: number;
  readonly cutOff: string;
}
/** Of an export that is whole: what its last line says. */
export interface Ended {
  readonly number: number;
  readonly footer: ExportFooter;
}

/** An event is a message of NATS, of 1 MiB at most by default, and as JSON in JSON no larger. */
const MOST_LINE_BYTES = 8 * 2 ** 20;
const NEWLINE = Buffer.from("\n");

interface Section {
  readonly hash: Hash;
  readonly header: ExportHeader;
  events: number;
}

/** Throws `AppError`: `invalid_request` for what is no export and claims to be one, or whose checksum does not agree, `unsupported_version` for a later one; and what a file system throws. */
export async function* auditLines(file: AuditFile): AsyncGenerator<AuditLine | CutOff | Ended> {
  let section: Section | null = null;
  let number = 0;
  let cut: string | null = null;
  try {
    for await (const { bytes, isUnended } of withEnds(byteLines(decompressed(file.open()), MOST_LINE_BYTES))) {
      if (isUnended && bytes.length === 0) continue;
      number++;
      if (bytes.length > MOST_LINE_BYTES) {
        cut = `a line is longer than ${MOST_LINE_BYTES} bytes; nothing after it is read`;
      } else if (isHeader(bytes)) {
        if (section !== null) yield { number, cutOff: "another export begins before this one has ended" };
        section = { hash: createHash("sha256").update(bytes).update(NEWLINE), header: headerIn(file, number, bytes), events: 0 };
      } else if (isFooter(bytes)) {
        yield { number, footer: checked(file, number, bytes, section) };
        section = null;
      } else {
        section?.hash.update(bytes).update(NEWLINE);
        if (isBlankLine(bytes)) continue;
        if (section !== null) section.events++;
        yield { number, bytes, isUnended };
      }
    }
  } catch (error) {
    if (!isOfCompression(error)) throw error;
    cut = `the compressed data ends early or is damaged (${error.message})`;
  }
  if (cut !== null) yield { number: number + 1, cutOff: cut };
  else if (section !== null) yield { number: number + 1, cutOff: `the export has no last line: ${section.events} events are there, and there may have been more` };
}

function headerIn({ name }: AuditFile, number: number, bytes: Buffer): ExportHeader {
  const header = ExportHeader.safeParse(json(bytes));
  if (header.success) return header.data;
  const type = /^\{"type":"(audit_export\.v\d+)"/.exec(bytes.subarray(0, 64).toString("latin1"))?.[1] ?? "";
  if (type !== "audit_export.v1") throw new AppError("unsupported_version", `${name}, line ${number}: ${type} is of a later release than this one, which reads audit_export.v1`);
  throw new AppError("invalid_request", `${name}, line ${number}: is no header of an export: ${describeIssues(header.error)}`);
}

function checked({ name }: AuditFile, number: number, bytes: Buffer, section: Section | null): ExportFooter {
  const footer = ExportFooter.safeParse(json(bytes));
  if (!footer.success) throw new AppError("invalid_request", `${name}, line ${number}: is no last line of an export: ${describeIssues(footer.error)}`);
  if (section === null) throw new AppError("invalid_request", `${name}, line ${number}: the last line of an export whose first is not there`);
  const sha256 = section.hash.digest("hex");
  if (sha256 !== footer.data.sha256) throw new AppError("invalid_request", `${name}, line ${number}: the checksum does not agree: the lines before it have ${sha256}, and it says ${footer.data.sha256}`);
  if (section.events !== footer.data.events) throw new AppError("invalid_request", `${name}, line ${number}: ${section.events} events are there, and it says ${footer.data.events}`);
  return footer.data;
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined; // refused by its schema
  }
}

/** One line behind, so that the last is known to be it. */
async function* withEnds(lines: AsyncIterable<Buffer>): AsyncGenerator<{ readonly bytes: Buffer; readonly isUnended: boolean }> {
  let held: Buffer | null = null;
  for await (const line of lines) {
    if (held !== null) yield { bytes: held, isUnended: false };
    held = line;
  }
  if (held !== null) yield { bytes: held, isUnended: true };
}

const isOfCompression = (error: unknown): error is Error => error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith("Z_");

const GZIP = [0x1f, 0x8b] as const;
/** Bytes. Another thread decompresses: more at once, and ahead of whoever reads, so that neither waits for the other. */
const AHEAD = { chunkSize: 2 ** 17, readableHighWaterMark: 2 ** 20 } as const;
/** By its first bytes, whatever its name is. Members may follow each other. */
async function* decompressed(stream: Readable): AsyncGenerator<Uint8Array> {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  let head = Buffer.alloc(0);
  while (head.length < GZIP.length) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const all = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    yield* { [Symbol.asyncIterator]: () => chunks };
  };
  if (head[0] !== GZIP[0] || head[1] !== GZIP[1]) {
    yield* all();
    return;
  }
  const gunzip = createGunzip(AHEAD);
  pipeline(Readable.from(all(), { objectMode: false }), gunzip, () => undefined); // what fails is thrown by whoever reads it
  yield* gunzip as AsyncIterable<Buffer>;
}
