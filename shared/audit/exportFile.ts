/**
 * Writes an export: beside its name as `.part`, in pieces each of which is whole, with a journal of how far it has come. Killed at any moment it goes on
 * from the last piece that the journal has. Under its own name it is there when it is whole, and never before.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync, lstatSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline, Writable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";

import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { z } from "zod";

import type { AuditRecord } from "./auditSource.ts";
import { type ExportHeader, footerLine, headerLine, lineOf } from "./exportFormat.ts";
import { redacted } from "./redacted.ts";

const compress = promisify(gzip);

/** What is written between two looks at the disk; a piece is a member of gzip. */
const PIECE_BYTES = 2 ** 20;
/** For nobody else to read: events hold what people asked. */
const MODE = 0o600;

const Journal = z.strictObject({
  type: z.literal("audit_export_journal.v1"),
  /** What was typed: only the same goes on. */
  command: z.string(),
  /** Of the file that is whole. What comes after it was not written to its end. */
  bytes: z.int().nonnegative(),
  cursor: z.string().nullable(),
  events: z.int().nonnegative(),
  first_seq: z.int().positive().nullable(),
  last_seq: z.int().positive().nullable(),
  /** Of what is redacted; it is nowhere else, and gone with this file. */
  key: z.string().nullable(),
});
type Journal = z.infer<typeof Journal>;

/** Which files an export is made of. */
export interface ExportPlace {
  readonly file: string;
  readonly part: string;
  readonly journal: string;
}

/** Throws `invalid_request` for a name that leaves its folder, or goes through a symbolic link, and `conflict` for a file that is there. */
export function exportPlace(name: string): ExportPlace {
  if (name.split(/[/\\]/).includes("..")) throw new AppError("invalid_request", `${name}: names a folder above another; name the file by its real path`);
  const file = resolve(name), folder = dirname(file);
  if (!existsSync(folder)) throw new AppError("invalid_request", `${folder}: there is no such folder`);
  if (realpathSync(folder) !== folder) throw new AppError("invalid_request", `${name}: goes through a symbolic link; name it as ${join(realpathSync(folder), basename(file))}`);
  const place = { file, part: `${file}.part`, journal: `${file}.part.journal` };
  for (const path of Object.values(place)) if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) throw new AppError("invalid_request", `${path}: is a symbolic link`);
  if (existsSync(file)) throw new AppError("conflict", `${file} is there already; name another file, or remove it`);
  return place;
}

export interface ExportOptions {
  readonly place: ExportPlace;
  /** That made it; without what does not change what is exported. */
  readonly command: string;
  readonly header: ExportHeader;
  /** Goes on with what is there. */
  readonly resumes: boolean;
}
export interface ExportFile {
  /** After which the source goes on; undefined: from the start. */
  readonly cursor: string | undefined;
  readonly events: () => number;
  readonly add: (records: readonly AuditRecord[], cursor: string) => Promise<void>;
  /** What was added is on the disk. The export can go on from here. */
  readonly pause: () => Promise<void>;
  /** The same, with its last line, and under its own name. */
  readonly finish: () => Promise<{ readonly sha256: string }>;
}

/** Throws `conflict` where an export was begun and is not to go on, or was begun by another command. */
export async function openExportFile({ place, command, header, resumes }: ExportOptions): Promise<ExportFile> {
  const { file, part, journal: journalFile } = place;
  const isCompressed = file.endsWith(".gz");
  const found = existsSync(journalFile) ? readJournal(journalFile) : null;
  if (found !== null && !resumes) throw new AppError("conflict", `${part} was begun and not finished: go on with --resume, or remove it and ${journalFile}`);
  if (found !== null && found.command !== command) throw new AppError("conflict", `${part} was begun by another command, and only that goes on: ${found.command}`);
  let journal: Journal = found ?? { type: "audit_export_journal.v1", command, bytes: 0, cursor: null, events: 0, first_seq: null, last_seq: null, key: header.redacted ? randomBytes(32).toString("hex") : null };
  const key = journal.key === null ? null : Buffer.from(journal.key, "hex");
  if (found === null) rmSync(part, { force: true }); // nothing of it was whole
  const handle = await open(part, constants.O_RDWR | constants.O_NOFOLLOW | (found === null ? constants.O_CREAT | constants.O_EXCL : 0), MODE);
  if ((await handle.stat()).size < journal.bytes) throw new AppError("conflict", `${part} is shorter than it was: remove it and ${journalFile}, and begin anew`);
  await handle.truncate(journal.bytes);
  const hash = createHash("sha256");
  if (journal.bytes > 0) await readThrough(part, journal.bytes, isCompressed, (bytes) => { hash.update(bytes); });
  let pending: string[] = journal.bytes > 0 ? [] : [headerLine(header)];
  let pendingBytes = 0;
  let next = journal;

  const write = async (): Promise<void> => {
    if (pending.length === 0) return;
    const text = Buffer.from(pending.join(""));
    pending = [];
    pendingBytes = 0;
    hash.update(text);
    const piece = isCompressed ? await compress(text) : text;
    await writeAll(handle, piece, journal.bytes);
    await handle.datasync();
    journal = { ...next, bytes: journal.bytes + piece.length };
    next = journal;
    writeJournal(journalFile, journal);
  };
  return {
    cursor: journal.cursor ?? undefined,
    events: () => next.events,
    async add(records, cursor) {
      for (const { seq, completion } of records) {
        const line = lineOf(seq, key === null ? completion : redacted(completion, key));
        pending.push(line);
        pendingBytes += line.length;
        next = { ...next, events: next.events + 1, first_seq: next.first_seq ?? seq, last_seq: seq ?? next.last_seq };
      }
      next = { ...next, cursor };
      if (pendingBytes >= PIECE_BYTES) await write();
    },
    async pause() {
      await write();
      await handle.close();
    },
    async finish() {
      await write();
      const sha256 = hash.digest("hex");
      const { events, first_seq, last_seq } = journal;
      const last = Buffer.from(footerLine({ type: "audit_export_end.v1", events, first_seq, last_seq, sha256 }));
      await writeAll(handle, isCompressed ? await compress(last) : last, journal.bytes);
      await handle.sync();
      await handle.close();
      if (existsSync(file)) throw new AppError("conflict", `${file} has come meanwhile; the export is whole as ${part}`);
      renameSync(part, file);
      rmSync(journalFile, { force: true });
      return { sha256 };
    },
  };
}

async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
}

function readJournal(file: string): Journal {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new AppError("conflict", `${file} cannot be read: remove it and begin anew`, { cause });
  }
  const journal = Journal.safeParse(value);
  if (!journal.success) throw new AppError("conflict", `${file} is no journal of an export: ${describeIssues(journal.error)}. Remove it and begin anew`);
  return journal.data;
}

/** As a whole or not at all. */
function writeJournal(file: string, journal: Journal): void {
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${JSON.stringify(journal)}\n`, { mode: MODE, flag: "wx" });
  renameSync(draft, file);
}

/** What the first `bytes` of a file hold, uncompressed. */
function readThrough(file: string, bytes: number, isCompressed: boolean, take: (chunk: Buffer) => void): Promise<void> {
  const sink = new Writable({ write(chunk: Buffer, _encoding, done) { take(chunk); done(); } });
  const source = createReadStream(file, { end: bytes - 1 });
  return new Promise((done, failed) => {
    const onEnd = (error: Error | null | undefined): void => { if (error) failed(error); else done(); };
    if (isCompressed) pipeline(source, createGunzip(), sink, onEnd);
    else pipeline(source, sink, onEnd);
  });
}
