/**
 * A file of JSON lines as one batch, from upload to results. What is under way is noted beside the results file, so that whoever is
 * interrupted runs the same again and goes on: the batch has its id before anything is sent, and every step is safe to repeat.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { v7 as uuidv7 } from "uuid";
import { z } from "zod";

import { type BatchDefaults, BatchId, BatchReply } from "#shared/contracts/batch.ts";

export interface SubmitFileOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
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

const Note = z.strictObject({ batch_id: BatchId, url: z.string(), sha256: z.string() });
/** Of one upload: far below what a body may have. */
const PART = { lines: 1_000, bytes: 4 * 1024 ** 2 };
const POLL_MS = 500;

/** Resolves once the results are written. Throws `SubmitFailed`; then the same call goes on. */
export async function submitFile(options: SubmitFileOptions): Promise<BatchReply> {
  const { url, out, file, tenantId, defaults, onProgress, onNote } = options;
  const noteFile = `${out}.batch`;
  const note = await noteFor(options, noteFile);
  const call = makeCall(options);
  const query = tenantId === undefined ? "" : `?tenant_id=${encodeURIComponent(tenantId)}`;
  const path = `/batches/${note.batch_id}`;
  const json = { "content-type": "application/json" };
  let state = BatchReply.parse(await call("POST", `/batches${query}`, JSON.stringify({ batch_id: note.batch_id, defaults }), json));
  if (state.status === "open") {
    if (state.lines > 0) onNote(`${state.lines} lines are there already`);
    for await (const { firstLine, text } of partsOf(file, state.lines + 1)) {
      state = BatchReply.parse(await call("POST", `${path}/lines${query === "" ? "?" : `${query}&`}first_line=${firstLine}`, text, { "content-type": "application/x-ndjson" }));
    }
    state = BatchReply.parse(await call("POST", `${path}/start${query}`));
    onNote(`batch ${state.batch_id} at ${url}: ${state.lines} lines are running; interrupt as you like, the same command goes on`);
  }
  while (state.status === "running") {
    onProgress(state);
    await sleep(POLL_MS);
    state = BatchReply.parse(await call("GET", `${path}${query}`));
  }
  onProgress(state);
  await download(options, `${path}/results${query}`);
  rmSync(noteFile, { force: true });
  return state;
}

/** The batch that this file became, or a new one. */
async function noteFor({ file, out, url }: SubmitFileOptions, noteFile: string): Promise<z.infer<typeof Note>> {
  const sha256 = await sha256Of(file);
  if (!existsSync(noteFile)) {
    if (existsSync(out)) throw new SubmitFailed(`${out} is there already`, "Name another file for the results, or move it away.");
    const note = { batch_id: `batch-${uuidv7()}`, url, sha256 };
    writeFileSync(noteFile, JSON.stringify(note));
    return note;
  }
  const read = Note.safeParse(jsonOf(readFileSync(noteFile, "utf8")));
  if (!read.success) throw new SubmitFailed(`${noteFile} cannot be read`, "Delete it to begin anew, or name another file for the results.");
  if (read.data.sha256 !== sha256) throw new SubmitFailed(`${noteFile} is of another content of ${file}`, "Take that content to go on, or delete the note to begin anew.");
  return read.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema says so
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash).catch((error: unknown) => { throw new SubmitFailed(`${file} cannot be read: ${(error as Error).message}`, "Name a file of JSON lines."); });
  return hash.digest("hex");
}

/** Lines that are not blank, numbered from 1 on, as the service numbers them. */
async function* partsOf(file: string, from: number): AsyncGenerator<{ readonly firstLine: number; readonly text: string }> {
  let line = 0, firstLine = from, bytes = 0, texts: string[] = [];
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    if (text.trim() === "") continue;
    line += 1;
    if (line < from) continue;
    texts.push(text);
    bytes += Buffer.byteLength(text);
    if (texts.length < PART.lines && bytes < PART.bytes) continue;
    yield { firstLine, text: texts.join("\n") };
    firstLine = line + 1;
    [bytes, texts] = [0, []];
  }
  if (texts.length > 0) yield { firstLine, text: texts.join("\n") };
}

type Fetched = (method: string, path: string, body?: string, headers?: Readonly<Record<string, string>>) => Promise<unknown>;
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }) });

/** Waits an outage out; what is refused for good is an error at once. Every call here is safe to repeat. */
function makeCall(options: SubmitFileOptions): Fetched {
  return async (method, path, body, headers = {}) => {
    const endMs = performance.now() + options.patienceMs;
    for (let tries = 1; ; tries++) {
      const failure = await attempt(options, method, path, body, headers);
      if ("json" in failure) return failure.json;
      if (!failure.isRetryable || performance.now() >= endMs) throw new SubmitFailed(failure.message, failure.isRetryable ? "Run the same command again: it goes on." : "Correct it and run the same command again.");
      if (tries === 1) options.onNote(`${failure.message}; trying again`);
      await sleep(Math.random() * Math.min(5_000, 200 * 2 ** tries));
    }
  };
}

async function attempt({ url, apiKey }: SubmitFileOptions, method: string, path: string, body: string | undefined, headers: Readonly<Record<string, string>>): Promise<{ json: unknown } | { isRetryable: boolean; message: string }> {
  try {
    const response = await fetch(`${url}${path}`, { method, headers: { ...headers, ...authorized(apiKey) }, signal: AbortSignal.timeout(60_000), ...(body === undefined ? {} : { body }) });
    const json = jsonOf(await response.text());
    if (response.ok) return { json };
    const refused = Refused.safeParse(json).data?.error;
    return { isRetryable: refused?.retryable ?? response.status >= 500, message: refused === undefined ? `${url} answers ${response.status}` : `${refused.code}: ${refused.message}` };
  } catch (error) {
    return { isRetryable: true, message: `${url} cannot be reached (${(error as Error).message})` };
  }
}
const authorized = (apiKey: string | undefined): Record<string, string> => (apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` });

/** Whole, or not under that name. */
async function download({ url, apiKey, out, onNote, patienceMs }: SubmitFileOptions, path: string): Promise<void> {
  const draft = `${out}.part`;
  const endMs = performance.now() + patienceMs;
  for (let tries = 1; ; tries++) {
    try {
      const response = await fetch(`${url}${path}`, { headers: authorized(apiKey) });
      if (!response.ok || response.body === null) throw new Error(`${url} answers ${response.status}`);
      await pipeline(Readable.fromWeb(response.body as never), createWriteStream(draft)); // of node's own fetch
      renameSync(draft, out);
      return;
    } catch (error) {
      if (performance.now() >= endMs) throw new SubmitFailed(`the results cannot be read: ${(error as Error).message}`, "Run the same command again: it goes on.", { cause: error });
      if (tries === 1) onNote(`the results cannot be read yet (${(error as Error).message}); trying again`);
      await sleep(Math.random() * Math.min(5_000, 200 * 2 ** tries));
    }
  }
}
