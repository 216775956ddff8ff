/**
 * Starts one server program and waits until it answers. The process is detached with its output in a file, so it
 * outlives us (`make up`); with `endsWithUs` a small watcher ends it, and removes its folder, as soon as this process is
 * gone, even by SIGKILL (tests: no orphan, no litter).
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import type { RunAs } from "./homeFolder.ts";
import { loginUrl } from "./loginUrl.ts";
import { adminLogin } from "./natsLogin.ts";
import { ownsPort } from "./portOwner.ts";
import { probeServer } from "./probeServer.ts";
import { endProcess, isRunning, ProcessIdentity } from "./processIdentity.ts";
import { type ServiceName, SERVICES } from "./services.ts";
import { SetupError } from "./setupError.ts";
import { endOfLog, spawnDetached } from "./spawnDetached.ts";
import { waitUntil } from "./waitUntil.ts";

/** All that differs between the servers. */
export interface LaunchPlan {
  readonly service: ServiceName;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user?: RunAs | undefined;
  readonly url: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly stopSignal: NodeJS.Signals;
  /** Recovery after a crash takes time that grows with the data. */
  readonly readyDeadlineMs: number;
  /** Clears away what a crash left, once nobody of ours uses the data any more. */
  readonly beforeStart?: (() => Promise<void>) | undefined;
  /** NATS with users: of the one who asks whether it answers. */
  readonly seedFile?: string | undefined;
  /** Redis or Postgres with logins: of their owner. */
  readonly passwordFile?: string | undefined;
  /** Removed when this process ends without having stopped the server. */
  readonly endsWithUs?: { readonly removes: string } | undefined;
}

export interface LaunchedServer {
  readonly identity: ProcessIdentity;
  readonly version: string;
  readonly watcher: Watcher;
}

/** Does nothing for a server that outlives us. */
export interface Watcher {
  /** The server is gone and its pid may be given to another process; the folder is still watched. */
  readonly forgetProcess: () => void;
  /** Nothing is left to watch. */
  readonly dismiss: () => void;
}

/** After SIGKILL Postgres' children live on until they notice, and until then it cannot be started on the same data. */
const CHILDREN_NOTICE_WITHIN_MS = 10_000;

/** Throws a `SetupError` with the end of the server's log; nothing is left running then. */
export async function launchServer(plan: LaunchPlan, onSpawn: (identity: ProcessIdentity) => void = () => undefined): Promise<LaunchedServer> {
  const endMs = performance.now() + CHILDREN_NOTICE_WITHIN_MS;
  for (;;) {
    try {
      return await launchOnce(plan, onSpawn);
    } catch (err) {
      const mayPass = plan.service === "postgres" && err instanceof SetupError && err.message.includes("pre-existing shared memory block");
      if (!mayPass || performance.now() > endMs) throw err;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function launchOnce(plan: LaunchPlan, onSpawn: (identity: ProcessIdentity) => void): Promise<LaunchedServer> {
  await endOrphan(plan);
  await plan.beforeStart?.();
  const identity = spawnDetached({ ...plan, cwd: plan.dataDir });
  if (identity === undefined) throw failed(plan, `${plan.program} ended at once`);
  noteOwner(plan, identity);
  onSpawn(identity);
  const watcher = plan.endsWithUs === undefined ? NO_WATCHER : watch(identity, plan, plan.endsWithUs.removes);
  try {
    return { identity, version: await waitForAnswer(plan, identity), watcher };
  } catch (err) {
    await endProcess(identity, "SIGKILL");
    watcher.dismiss();
    throw err;
  }
}


async function waitForAnswer(plan: LaunchPlan, identity: ProcessIdentity): Promise<string> {
  let lastFailure = "";
  const probe = async (): Promise<string | undefined> => {
    if (!isRunning(identity)) throw failed(plan, `${plan.program} ended while starting`);
    try {
      const version = await probeServer(plan.service, loginUrl(plan), adminLogin(plan.seedFile));
      if (ownsPort(identity.pid, Number(new URL(plan.url).port))) return version;
      lastFailure = "another program answers on that port";
      return undefined;
    } catch (err) {
      lastFailure = err instanceof Error ? err.message : String(err);
      return undefined;
    }
  };
  const describe = () => `no answer at ${plan.url}: ${lastFailure}`;
  return waitUntil(probe, { deadlineMs: plan.readyDeadlineMs, everyMs: 25, describe }).catch((err: unknown) => {
    throw err instanceof SetupError ? err : failed(plan, err instanceof Error ? err.message : String(err));
  });
}

function failed({ service, logFile }: LaunchPlan, reason: string): SetupError {
  return new SetupError(`${SERVICES[service].title} did not start: ${reason}. ${endOfLog(logFile)}`, `Read ${logFile}, or use a server of your own: set ${SERVICES[service].urlVariable}.`);
}

const ownerFile = (dataDir: string): string => `${dataDir}.owner.json`;

/** Beside the data, so that it is found even when the state file is lost: two servers in one folder would ruin it. */
function noteOwner({ dataDir }: LaunchPlan, identity: ProcessIdentity): void {
  writeFileSync(ownerFile(dataDir), JSON.stringify(identity));
}

async function endOrphan({ dataDir, stopSignal }: LaunchPlan): Promise<void> {
  if (!existsSync(ownerFile(dataDir))) return;
  const owner = readIdentity(ownerFile(dataDir));
  if (owner !== undefined) await endProcess(owner, stopSignal);
  rmSync(ownerFile(dataDir), { force: true });
}

/** Undefined for a file that a crash cut short. */
function readIdentity(file: string): ProcessIdentity | undefined {
  try {
    return ProcessIdentity.safeParse(JSON.parse(readFileSync(file, "utf8"))).data;
  } catch {
    return undefined;
  }
}

const NO_WATCHER: Watcher = { forgetProcess: () => undefined, dismiss: () => undefined };

/**
 * Reads lines from us: `forget` means that the process is gone, `done` that all is; the end of the pipe that we are gone.
 * The wait is bounded: in a container whose first process collects no children, an ended server stays in the table.
 */
const WATCHER = `read -r word; [ "$word" = done ] && exit
if [ "$word" = forget ]; then read -r word && exit; else
  kill -s "$1" "$2"; i=0
  while [ $i -lt 50 ] && kill -0 "$2" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$2/status"; do sleep 0.1; i=$((i + 1)); done
fi
rm -rf -- "$3"`;

/** Postgres is told to quit rather than killed, so that it takes its children and its shared memory with it. */
function watch({ pid }: ProcessIdentity, { service }: LaunchPlan, removes: string): Watcher {
  const signal = service === "postgres" ? "QUIT" : "KILL";
  const shell = spawn("/bin/sh", ["-c", WATCHER, "sh", signal, String(pid), removes], { detached: true, stdio: ["pipe", "ignore", "ignore"], cwd: "/" });
  shell.on("error", () => undefined);
  shell.stdin.on("error", () => undefined); // it ended first: nothing to dismiss
  shell.unref();
  // A pipe of a child is a socket in Node and can be taken off the event loop; the types only promise a Writable.
  (shell.stdin as unknown as { unref?: () => void }).unref?.();
  return { forgetProcess: () => void shell.stdin.write("forget\n"), dismiss: () => void shell.stdin.end("done\n") };
}
