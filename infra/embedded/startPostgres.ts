/** A Postgres cluster of its own, on 127.0.0.1 only, without a socket file. Root starts it as `nobody`, see homeFolder. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import pg from "pg";

import type { ServerLogins } from "#infra/logins/ownLogins.ts";

import { clearAfterCrash, clusterNameOf } from "./clearAfterCrash.ts";
import { LOOPBACK } from "./freePort.ts";
import { giveTo, postgresUser } from "./homeFolder.ts";
import { pgCodeOf, withDatabase } from "./probeServer.ts";
import { runProgram } from "./runProgram.ts";
import { runServer, type RunningServer, type StartOptions } from "./runningServer.ts";
import { SetupError } from "./setupError.ts";

export interface PostgresOptions extends StartOptions {
  /** Tests only: a power loss may then lose or ruin the cluster. Halves the time of small transactions. */
  readonly withoutFsync?: boolean | undefined;
  /** Database in `url`. `createDatabase` makes it. */
  readonly database?: string | undefined;
  /** Everybody shows a password, its owner too. Missing: whoever reaches it is whom he says. */
  readonly logins?: ServerLogins["postgres"] | undefined;
}

/** Makes the cluster when `dataDir` has none. Throws a `SetupError` with what initdb or the log says. */
export async function startPostgres(options: PostgresOptions): Promise<RunningServer> {
  const { binary, port, dataDir, logFile, endsWithUs, withoutFsync = false, database = "infer", logins } = options;
  const user = postgresUser();
  if (!existsSync(join(dataDir, "PG_VERSION"))) await initCluster(dirname(binary.path), dataDir);
  requireSameMajor(dataDir, binary.version);
  const settings = {
    listen_addresses: LOOPBACK, unix_socket_directories: "", shared_buffers: "64MB", max_connections: "100", cluster_name: clusterNameOf(dataDir),
    ...(withoutFsync ? { fsync: "off", full_page_writes: "off" } : {}),
  };
  const plan = {
    service: "postgres", program: binary.path, args: ["-D", dataDir, "-p", String(port), ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    env: { LC_ALL: "C" }, user, url: `postgresql://postgres@${LOOPBACK}:${port}/${database}`, dataDir, logFile, endsWithUs,
    stopSignal: "SIGINT", readyDeadlineMs: 120_000, passwordFile: logins?.passwordFile,
    async beforeStart() {
      await clearAfterCrash(dataDir);
      await askForPasswords(binary, dataDir, logins);
    },
  } as const;
  return runServer(plan, options);
}

const HBA_MARK = "# Written by infra/embedded/startPostgres.ts.";
const hbaOf = (method: "trust" | "scram-sha-256"): string => `${HBA_MARK}\n${["127.0.0.1/32", "::1/128"].map((from) => `host all all ${from} ${method}\n`).join("")}`;

/** The password is set before anybody can connect: by Postgres in its mode for one user, which reads commands and listens to nobody. */
async function askForPasswords({ path, version }: PostgresOptions["binary"], dataDir: string, logins: PostgresOptions["logins"]): Promise<void> {
  const hbaFile = join(dataDir, "pg_hba.conf"); // written over, so that it stays that of the user who runs Postgres
  if (logins === undefined) {
    if (readFileSync(hbaFile, "utf8").startsWith(HBA_MARK)) writeFileSync(hbaFile, hbaOf("trust"));
    return;
  }
  requireSameMajor(dataDir, version);
  await runProgram(path, ["--single", "-D", dataDir, "postgres"], { user: postgresUser(), cwd: dataDir, timeoutMs: 120_000, input: `ALTER ROLE postgres PASSWORD '${logins.verifier()}'\n` });
  writeFileSync(hbaFile, hbaOf("scram-sha-256"));
}

/** Makes the database that `url` names, in the server that `url` names. Safe to repeat and to race: true when it was made here. */
export async function createDatabase(url: string): Promise<boolean> {
  const name = decodeURIComponent(new URL(url).pathname.slice(1));
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(name)) throw new SetupError(`"${name}" cannot be used as the name of a database`, "Correct DATABASE_URL: it ends with /<database>.", { exitCode: 78 });
  if (await databaseExists(url)) return false;
  const client = new pg.Client({ connectionString: withDatabase(url, "postgres") });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE "${name}"`);
    return true;
  } catch (err) {
    if (["42P04", "23505"].includes(pgCodeOf(err) ?? "")) return false; // somebody else made it meanwhile
    throw new SetupError(`cannot create the database ${name}: ${err instanceof Error ? err.message : String(err)}`, "Create it yourself, or name another one in DATABASE_URL.", { cause: err });
  } finally {
    await client.end();
  }
}

async function databaseExists(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined); // `connect` rejects with it
  try {
    await client.connect();
    return true;
  } catch (err) {
    if (pgCodeOf(err) === "3D000") return false;
    throw err;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** In a draft folder first: initdb writes PG_VERSION early, and half a cluster could not be told from a whole one. */
async function initCluster(bin: string, dataDir: string): Promise<void> {
  const user = postgresUser();
  const draft = `${dataDir}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  giveTo(user, draft);
  const args = ["-D", draft, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
  try {
    await runProgram(join(bin, "initdb"), args, { user, cwd: draft, env: { PATH: "/usr/bin:/bin" }, timeoutMs: 120_000 });
    renameSync(draft, dataDir);
  } catch (err) {
    rmSync(draft, { recursive: true, force: true });
    throw initFailure(err);
  }
}

function initFailure(err: unknown): SetupError {
  const reason = err instanceof Error ? err.message : String(err);
  const nextStep = reason.includes("effective user ID")
    ? `This user (uid ${process.getuid?.() ?? "?"}) has no entry in /etc/passwd, which Postgres needs: run as another user, or set DATABASE_URL.`
    : "Free some disk space, or set DATABASE_URL to a server of your own.";
  return new SetupError(`Postgres: initdb failed: ${reason}`, nextStep, { cause: err });
}

function requireSameMajor(dataDir: string, version: string): void {
  const major = readFileSync(join(dataDir, "PG_VERSION"), "utf8").trim();
  if (version.split(".")[0] === major) return;
  throw new SetupError(
    `${dataDir} was made by Postgres ${major}, and this is ${version}`,
    `Set PG_BIN to the bin folder of a Postgres ${major}, or move ${dataDir} away and begin anew.`,
  );
}
