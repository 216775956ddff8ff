/**
 * A file of JSON lines as one batch, from upload to results. What is under way is noted beside the results file, so that whoever is
 * interrupted runs the same again and goes on: the batch has its id before anything is sent, and every step is safe to repeat.
 */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { v7 as uuidv7 } from "uuid";
import { z } from "zod";

import { type BatchDefaults, BatchId, BatchReply, BatchResult } from "#shared/contracts/batch.ts";
import { byteLines, isBlankLine } from "#shared/runtime/byteLines.ts";

import { afterFailure } from "./afterFailure.ts";
import { failureOf, jsonOf } from "./httpReply.ts";
import { InferError } from "./inferError.ts";

export interface SubmitFileOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Without an API key: whose batch it is. */
  readonly tenantId?: string | undefined;
  readonly file: string;
  /** Where the results go. */
  readonly out: string;
  readonly defaults: BatchDefaults;
  readonly onProgress: (state: BatchReply) => void;
  readonly onNote: (line: string) => void;
  /** Longest silence of the service that is waited out, in milliseconds. */
  readonly patienceMs: number;
}

/** What a person can do about it is in `nextStep`. */
export class SubmitFailed extends Error {
  override readonly name = "SubmitFailed";
  readonly nextStep: string;
  constructor(message: string, nextStep: string, options?: ErrorOptions) {
    super(message, options);
    this.nextStep = nextStep;
  }
}

const Note = z.strictObject({ batch_id: BatchId, url: z.string(), tenant_id: z.string().nullable(), sha256: z.string() });
/** Of one upload: there in seconds, also by a slow line. */
const PART = { lines: 1_000, bytes: 1024 ** 2 };
const POLL_MS = 500;
const MOST_IDLE_MS = 60_000;

/** Resolves once the results are written. Throws `SubmitFailed`; then the same call goes on. */
export async function submitFile(options: SubmitFileOptions): Promise<BatchReply> {
  const { url, out, file, defaults, onProgress, onNote } = options;
  const noteFile = `${out}.batch`;
  const note = await noteFor(options, noteFile);
  const call = makeCall(options, note.batch_id);
  const batch = (sent: Sent): Promise<BatchReply> => call(() => sent, jsonIn);
  const path = `/batches/${note.batch_id}`;
  let state = await batch({ method: "POST", path: "/batches", body: { batch_id: note.batch_id, defaults } });
  if (state.status === "open") {
    if (state.lines > 0) onNote(`${state.lines} lines are there already`);
    for await (const { firstLine, body } of partsOf(file, state.lines + 1)) {
      state = await batch({ method: "POST", path: `${path}/lines`, query: { first_line: firstLine }, body });
    }
    state = await batch({ method: "POST", path: `${path}/start` });
    onNote(`batch ${state.batch_id} at ${url}: ${state.lines} lines are running; interrupt as you like, the same command goes on`);
  }
  while (state.status === "running") {
    onProgress(state);
    await sleep(POLL_MS);
    state = await batch({ method: "GET", path });
  }
  onProgress(state);
  await download(call, `${path}/results`, out);
  rmSync(noteFile, { force: true });
  return state;
}

/** The batch that this file became, or a new one. */
async function noteFor({ file, out, url, tenantId }: SubmitFileOptions, noteFile: string): Promise<z.infer<typeof Note>> {
  const sha256 = await sha256Of(file);
  const tenant_id = tenantId ?? null;
  if (!existsSync(noteFile)) {
    if (existsSync(out)) throw new SubmitFailed(`${out} is there already`, "Name another file for the results, or move it away.");
    const note = { batch_id: `batch-${uuidv7()}`, url, tenant_id, sha256 };
    writeFileSync(noteFile, JSON.stringify(note));
    return note;
  }
  const read = Note.safeParse(jsonOf(readFileSync(noteFile, "utf8")));
  if (!read.success) throw new SubmitFailed(`${noteFile} cannot be read`, "Delete it to begin anew, or name another file for the results.");
  if (read.data.sha256 !== sha256) throw new SubmitFailed(`${noteFile} is of another content of ${file}`, "Take that content to go on, or delete the note to begin anew.");
  if (read.data.url !== url) throw new SubmitFailed(`${noteFile} is of a batch at ${read.data.url}`, "Name that gateway with --url to go on, or delete the note to begin anew.");
  if (read.data.tenant_id !== tenant_id) throw new SubmitFailed(`${noteFile} is of another tenant's batch`, `Go on ${read.data.tenant_id === null ? "without --tenant" : `with --tenant ${read.data.tenant_id}`}, or delete the note to begin anew.`);
  return read.data;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash).catch((error: unknown) => { throw new SubmitFailed(`${file} cannot be read: ${(error as Error).message}`, "Name a file of JSON lines."); });
  return hash.digest("hex");
}

/** Lines that are not blank, numbered from 1 on, as the service numbers them. */
async function* partsOf(file: string, from: number): AsyncGenerator<{ readonly firstLine: number; readonly body: Buffer }> {
  let line = 0, firstLine = from, bytes = 0, lines: Buffer[] = [];
  const part = () => ({ firstLine, body: Buffer.concat(lines.flatMap((text) => [text, NEWLINE])) });
  for await (const text of byteLines(createReadStream(file), Infinity)) {
    if (isBlankLine(text)) continue;
    line += 1;
    if (line < from) continue;
    lines.push(text);
    bytes += text.length;
    if (lines.length < PART.lines && bytes < PART.bytes) continue;
    yield part();
    firstLine = line + 1;
    [bytes, lines] = [0, []];
  }
  if (lines.length > 0) yield part();
}
const NEWLINE = Buffer.from("\n");

interface Sent {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number>>;
  readonly body?: object | Buffer;
}
/** `read` may be called again, after a try that broke off. */
type Call = <T>(sent: () => Sent, read: (response: Response) => Promise<T>) => Promise<T>;

const jsonIn = async (response: Response): Promise<BatchReply> => BatchReply.parse(jsonOf(await response.text()));

/** Waits an outage out; what is refused for good is an error at once. Every call here is safe to repeat. */
function makeCall({ url, apiKey, tenantId, patienceMs, onNote }: SubmitFileOptions, batchId: string): Call {
  const attempt = async <T>({ method, path, query = {}, body }: Sent, read: (response: Response) => Promise<T>): Promise<T> => {
    const search = new URLSearchParams({ ...(tenantId === undefined ? {} : { tenant_id: tenantId }), ...Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value)])) });
    const headers = {
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(body === undefined ? {} : { "content-type": Buffer.isBuffer(body) ? "application/x-ndjson" : "application/json" }),
    };
    const idle = makeIdleTimeout(MOST_IDLE_MS);
    try {
      const response = await fetch(`${url}${path}?${search.toString()}`, { method, headers, signal: idle.signal, redirect: "error", ...(body === undefined ? {} : { body: Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body) }) });
      if (!response.ok) throw failureOf(response, await response.text(), batchId);
      return await read(idle.watching(response));
    } catch (cause) {
      if (cause instanceof InferError || cause instanceof SubmitFailed || cause instanceof z.ZodError) throw cause;
      throw new InferError("connection_failed", `no whole answer from ${url}`, { requestId: batchId, cause });
    } finally {
      idle.end();
    }
  };
  return async (sent, read) => {
    const endMs = performance.now() + patienceMs;
    for (let made = 1; ; made++) {
      try {
        return await attempt(sent(), read);
      } catch (error) {
        if (error instanceof SubmitFailed) throw error;
        if (!(error instanceof InferError)) throw new SubmitFailed(`${url} answers with something else`, "Is it a gateway of this version?", { cause: error });
        const message = error.code === "connection_failed" ? error.message : `${error.code}: ${error.message}`;
        const next = afterFailure(error, { made, most: Infinity, leftMs: endMs - performance.now(), leftToDeadlineMs: null, random: Math.random() });
        if (next.kind === "give_up") throw new SubmitFailed(message, next.why === "not_retryable" ? "Correct it and run the same command again." : "Run the same command again: it goes on.", { cause: error });
        if (made === 1) onNote(`${message}; trying again`);
        await sleep(next.afterMs);
      }
    }
  };
}

/** Aborts when nothing was read for that long. */
function makeIdleTimeout(ms: number) {
  const controller = new AbortController();
  const timer = setTimeout(() => { controller.abort(); }, ms);
  return {
    signal: controller.signal,
    watching: (response: Response): Response => new Response(response.body?.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) { timer.refresh(); controller.enqueue(chunk); },
    })) ?? null, response),
    end: () => { clearTimeout(timer); },
  };
}

/** Whole, or not under that name. A download that breaks off goes on after the last line that was written. */
async function download(call: Call, path: string, out: string): Promise<void> {
  const draft = `${out}.part`;
  const written = await open(draft, "w");
  try {
    let after = 0;
    await call(() => ({ method: "GET", path, query: { after_line: after } }), async ({ body }) => {
      if (body === null) return;
      for await (const line of byteLines(body, Infinity)) {
        if (line.length === 0) continue;
        const { line: number } = ResultLine.parse(jsonOf(line.toString()));
        await written.appendFile(Buffer.concat([line, NEWLINE])).catch((cause: unknown) => { throw new SubmitFailed(`${draft} cannot be written: ${(cause as Error).message}`, "Make room and run the same command again: it goes on.", { cause }); });
        after = number;
      }
    });
  } finally {
    await written.close();
  }
  renameSync(draft, out);
}
const ResultLine = BatchResult.pick({ line: true }).loose();
