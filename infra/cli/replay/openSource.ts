/** The one source of audit events that was asked for, of the servers that the environment names or that `inferctl up` started. */
import { createReadStream } from "node:fs";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import type { Progress } from "#infra/embedded/progress.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import type { AuditFile } from "#shared/audit/auditLines.ts";
import type { AuditSource } from "#shared/audit/auditSource.ts";
import { chosenRecords } from "#shared/audit/chosenRecords.ts";
import { openCompletionsSource } from "#shared/audit/completionsSource.ts";
import { checkFiles, fileSource } from "#shared/audit/fileSource.ts";
import { openTableSource } from "#shared/audit/tableSource.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { makePool } from "#shared/db/pool.ts";
import { type Erasures, isErased, NOBODY_ERASED } from "#shared/erasure/erasures.ts";
import { readErasures } from "#shared/erasure/readErasures.ts";
import { connectNats, permissionViolation } from "#shared/messaging/connect.ts";
import { makeCompletionsReader } from "#shared/messaging/readCompletions.ts";

import { EXIT_DATA, EXIT_NO_INPUT, EXIT_UNAVAILABLE } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";
import { replayLogin, type ReplayUser } from "./replayLogin.ts";
import type { SourceWanted } from "./sourceOptions.ts";

export interface OpenOptions {
  readonly environment: Environment;
  readonly user: ReplayUser;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}
const STATEMENT_TIMEOUT_MS = 120_000;

/** What its reading throws is a `SetupError`: 65 for what cannot be used, 66 for a file that is not there, 69 for a server that cannot be reached. */
export async function withSource<T>(wanted: SourceWanted, options: OpenOptions, use: (source: AuditSource) => Promise<T>): Promise<T> {
  const { from, tenantId, limit } = wanted;
  const erasures = await erasuresFor(from.kind, options);
  const chosen = (source: AuditSource): AuditSource => explained(chosenRecords(source, { tenantId, limit, isErased: (completion) => isErased(erasures, completion) }));
  if (from.kind === "files") return use(chosen(await ofFiles(from.files, options).catch(rethrown)));
  return from.kind === "audit" ? ofAudit(wanted, options, (source) => use(chosen(source))) : ofStream(wanted, options, (source) => use(chosen(source)));
}

/** Events of who was erased are in streams until they age out, and in files for ever: they are left out. Files may be read where there is no Postgres; that is said. */
async function erasuresFor(kind: SourceWanted["from"]["kind"], { environment, progress }: OpenOptions): Promise<Erasures> {
  const read = async () => {
    const pool = makePool(serverUrl("postgres", environment, openHome(environment)), "inferctl", () => undefined);
    return readErasures(pool).finally(() => pool.end());
  };
  try {
    return await read();
  } catch (error) {
    if (kind !== "files") throw error instanceof AppError ? unavailable("Postgres, which says who was erased, cannot be read", error.cause ?? error) : error;
    progress.note("no Postgres is known or can be read here, so events of users and tenants that were erased are not left out");
    return NOBODY_ERASED;
  }
}

/** Files are read twice: nothing is done with events of one whose checksum does not agree. What comes through a pipe is known at its end alone. */
async function ofFiles(names: readonly string[], { progress, signal }: OpenOptions): Promise<AuditSource> {
  const files = names.map((name): AuditFile => (name === "-" ? { name: "standard input", open: () => process.stdin } : { name, open: () => createReadStream(name, { highWaterMark: 2 ** 18 }) }));
  if (names.includes("-")) return fileSource(files, { total: null });
  const { lines } = await progress.step(`checking ${names.join(", ")}`, () => checkFiles(files, signal), (checked) => `${checked.lines.toLocaleString("en")} events`);
  return fileSource(files, { total: lines });
}

async function ofAudit<T>({ tenantId, fromSeq, toSeq, sinceMs, untilMs }: SourceWanted, { environment }: OpenOptions, use: (source: AuditSource) => Promise<T>): Promise<T> {
  const pool = makePool(serverUrl("postgres", environment, openHome(environment)), "inferctl", () => undefined, { statementTimeoutMs: STATEMENT_TIMEOUT_MS }); // the query that it breaks says so
  try {
    const nowMs = Date.now();
    return await use(await openTableSource(pool, { tenantId, fromSeq, toSeq, sinceMs, untilMs: Math.min(untilMs ?? nowMs, nowMs) }).catch(rethrown));
  } finally {
    await pool.end();
  }
}

async function ofStream<T>({ tenantId, fromSeq, toSeq, sinceMs, untilMs }: SourceWanted, { environment, user }: OpenOptions, use: (source: AuditSource) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const { prefix } = readSettings(environment, home);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: "inferctl", ...replayLogin(environment, home, user) }).catch((error: unknown) => { throw unavailable("NATS cannot be reached", error); });
  try {
    const reader = await makeCompletionsReader(nats).catch(rethrown);
    return await use(await openCompletionsSource(reader, { prefix, tenantId, fromSeq, toSeq, sinceMs, untilMs }).catch(rethrown));
  } catch (error) {
    if (permissionViolation(error) === null) throw error;
    throw new SetupError(`the NATS server does not let this user do it: ${String(error)}`, `The user must be ${user}: inferctl nats-users init makes it, and inferctl nats-users config tells the server.`, { cause: error });
  } finally {
    await nats.close();
  }
}

/** The same, and what reading throws says what to do. What is thrown by whoever reads is not touched. */
const explained = (source: AuditSource): AuditSource => ({
  name: source.name, total: source.total, start: source.start,
  async *batches(options) {
    const batches = source.batches(options)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await batches.next().catch(rethrown);
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await batches.return?.();
    }
  },
});

function rethrown(error: unknown): never {
  if (error instanceof AppError) throw error.isOutage ? unavailable(error.message, error.cause ?? error) : new SetupError(error.message, "What was read so far is void. Take another source, or have the export made again.", { exitCode: EXIT_DATA, cause: error });
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === "EISDIR") throw new SetupError("a folder is named where a file should be", "Name a file that is there and may be read.", { exitCode: EXIT_NO_INPUT, cause: error });
  if (error instanceof Error && code !== undefined && path !== undefined) throw new SetupError(`${path} cannot be read: ${code}`, "Name a file that is there and may be read.", { exitCode: EXIT_NO_INPUT, cause: error });
  throw error;
}

const unavailable = (what: string, cause: unknown): SetupError =>
  new SetupError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, "Is it up, with its streams and tables? See: inferctl status", { exitCode: EXIT_UNAVAILABLE, cause });
