/**
 * The system as a user starts it: `inferctl up` as a child process, with a home of its own in a temp folder. Trained
 * models and fetched server programs are shared with `make up`; data, ports and processes never are.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chooseFreePorts } from "#infra/embedded/freePort.ts";
import { openHome, projectFolder } from "#infra/embedded/homeFolder.ts";
import { loginUrl } from "#infra/embedded/loginUrl.ts";
import { isRunning, type ProcessIdentity, signalProcess } from "#infra/embedded/processIdentity.ts";
import { runProgram } from "#infra/embedded/runProgram.ts";
import type { ServiceName } from "#infra/embedded/services.ts";
import { readState, type State } from "#infra/embedded/stateFile.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";

import { type TestEmbedder, type TestTier, writeTierFile } from "./tierFile.ts";

export interface SystemOptions {
  /** Added to the environment of `inferctl`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly isSingleProcess?: boolean;
  /** Tiers on a model server of the test's, instead of the local models. */
  readonly tiers?: { readonly serverUrl: string; readonly tiers: readonly TestTier[]; readonly embedders?: readonly TestEmbedder[] };
}
export interface UpReport {
  readonly has_started_something: boolean;
  readonly lines: readonly { readonly name: string; readonly url: string; readonly pid: number | null; readonly state: string }[];
}
export interface System {
  readonly folder: string;
  /** Of a role's HTTP server, or a server's URL. The same after a restart. */
  readonly url: (name: string) => string;
  /** `inferctl up` again: starts just what is missing. */
  readonly up: () => Promise<UpReport>;
  /** Another subcommand, on this system. Resolves to what it printed; rejects with its last lines when it fails. */
  readonly inferctl: (...args: string[]) => Promise<string>;
  /** The same, without waiting for it. */
  readonly start: (...args: string[]) => ChildProcess;
  /** Sends a signal to the process of one role or server. With SIGKILL and SIGTERM it resolves when the process is gone. */
  readonly signal: (name: string, signal: NodeJS.Signals) => Promise<void>;
  /** Of a role's NATS user, where the system was started with INFER_AUTH=keys. */
  readonly natsSeed: (role: string) => string;
  /** Of the server that this system has started, as its owner, where it was started with INFER_AUTH=keys. */
  readonly ownerUrl: (name: "postgres" | "redis") => string;
  /** All that it has made for Postgres and Redis. */
  readonly passwords: () => string[];
  /** INFER_SECRET, which API keys are made with. */
  readonly secret: () => string;
  /** What every process has written, by name. */
  readonly logs: () => ReadonlyMap<string, string>;
  readonly down: () => Promise<void>;
  /** Processes that belong to this system and run: none after `down`. */
  readonly processes: () => string[];
  /** `down`, and takes the folder away. Safe to repeat. */
  readonly remove: () => Promise<void>;
}

const UP_TIMEOUT_MS = 150_000;
const END_TIMEOUT_MS = 20_000;
/** Programs of the servers, when they are not on the PATH. Their URLs are not handed on: this system has its own. */
const HANDED_ON = ["PATH", "HOME", "LANG", "TMPDIR", "NATS_SERVER_BIN", "REDIS_SERVER_BIN", "PG_BIN"];
/** In a row; the tiers' workers go on from the last. */
const PORTS = ["INFER_GATEWAY_PORT", "INFER_GATEWAY_ADMIN_PORT", "INFER_ROUTER_PORT", "INFER_AUDIT_SINK_PORT", "INFER_METRICS_SINK_PORT", "INFER_WEBHOOK_SENDER_PORT", "INFER_CONSOLE_PORT", "INFER_WORKER_PORT"];
const MOST_WORKERS = 8;

export async function startSystem({ env = {}, isSingleProcess = false, tiers }: SystemOptions = {}): Promise<System> {
  const project = projectFolder();
  const shared = openHome(process.env);
  const folder = mkdtempSync(join(tmpdir(), "infer-e2e-"));
  chmodSync(folder, 0o755); // Postgres may run as another user than we
  const home = join(folder, "home");
  mkdirSync(home, { mode: 0o755 });
  symlinkSync(shared.servers, join(home, "servers"));
  const ownEnv = Object.fromEntries(HANDED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
  const tiersEnv = tiers === undefined ? {} : { INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), tiers.serverUrl, tiers.tiers, tiers.embedders) };
  const firstPort = await chooseFreePorts(20_000 + Math.floor(Math.random() * 12_000), PORTS.length + MOST_WORKERS); // below those that the system gives to connections
  const environment = { ...ownEnv, INFER_HOME: home, INFER_LOCAL_MODELS_DIR: join(shared.root, "local-models"), ...Object.fromEntries(PORTS.map((name, i) => [name, String(firstPort + i)])), ...tiersEnv, ...env };
  const inferctl = (...args: string[]) => runProgram(process.execPath, [join(project, "dist/inferctl.js"), ...args], { cwd: project, env: environment, timeoutMs: UP_TIMEOUT_MS });
  const state = () => readState(join(home, "state.json"));

  const up = async () => jsonIn(await inferctl("up", "--json", ...(isSingleProcess ? ["--single-process"] : []))) as UpReport;
  const down = async () => void (await inferctl("down", "--json"));
  const remove = async () => {
    await down();
    rmSync(folder, { recursive: true, force: true });
  };
  const urls = new Map<string, string>();
  const noteUrls = () => {
    for (const { service, url } of state().servers) urls.set(service, url);
    for (const { addresses } of state().roles) for (const { role, url } of addresses) urls.set(role, url);
  };
  try {
    await up();
  } catch (error) {
    await remove();
    throw error;
  }
  noteUrls();
  return {
    folder, up, down, remove, inferctl,
    start: (...args) => spawn(process.execPath, [join(project, "dist/inferctl.js"), ...args], { cwd: project, env: environment, stdio: ["ignore", "pipe", "pipe"] }),
    url: (name: ServiceName | (string & {})) => urls.get(name) ?? missing(name),
    natsSeed: (role) => readFileSync(join(home, "nats-users", `${role}.nk`), "utf8").trim(),
    ownerUrl: (name) => loginUrl(state().servers.find(({ service }) => service === name) ?? missing(name)),
    passwords: () => ["postgres", "redis"].flatMap((server) => readdirSync(join(home, "logins", server)).map((file) => readFileSync(join(home, "logins", server, file), "utf8").trim())),
    secret: () => readFileSync(join(home, "secret"), "utf8").trim(),
    signal: (name, signal) => signalTo(state(), name, signal),
    logs: () => new Map(readdirSync(join(home, "logs")).map((file) => [file, readFileSync(join(home, "logs", file), "utf8")])),
    processes: () => processesWith(folder),
  };
}

/** `runProgram` gives both channels: progress comes as lines before and after the one JSON document, which is a line or is indented. */
export function jsonIn(printed: string): unknown {
  const [document] = /^\{(?:.*\}$|[^]*?^\}$)/m.exec(printed) ?? [];
  if (document === undefined) throw new Error(`no JSON in: ${printed}`);
  return JSON.parse(document);
}

function missing(name: string): never {
  throw new Error(`this system has no ${name}`);
}

async function signalTo({ roles, servers }: State, name: string, signal: NodeJS.Signals): Promise<void> {
  const server = servers.find(({ service }) => service === name);
  const identity: ProcessIdentity = (server ?? roles.find((role) => role.name === name))?.process ?? missing(name);
  if (!signalProcess(identity, signal)) throw new Error(`${name} does not run`);
  if (signal !== "SIGKILL" && signal !== "SIGTERM") return;
  const gone = () => Promise.resolve(isRunning(identity) ? undefined : true);
  await waitUntil(gone, { deadlineMs: END_TIMEOUT_MS, describe: () => `${name} does not end after ${signal}` });
}

/** By what the kernel knows of each process, not by what our own notes say. Linux only; elsewhere none is found. */
function processesWith(folder: string): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid).flatMap((pid) => {
    const known = [textOf(`/proc/${pid}/cmdline`), textOf(`/proc/${pid}/environ`), linkOf(`/proc/${pid}/cwd`)];
    return known.some((text) => text.includes(folder)) && known[0] !== "" ? [`${pid} ${known[0]?.replaceAll("\0", " ") ?? ""}`] : [];
  });
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // ended meanwhile, or another user's
  }
}

function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return "";
  }
}
