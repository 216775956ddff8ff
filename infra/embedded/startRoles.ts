/** Starts the processes of `dist/` and waits until each can do its work. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { z } from "zod";

import { isRunning } from "./processIdentity.ts";
import type { PlannedProcess } from "./roles.ts";
import { SetupError } from "./setupError.ts";
import { endOfLog, spawnDetached } from "./spawnDetached.ts";
import type { RoleProcess } from "./stateFile.ts";
import { waitUntil } from "./waitUntil.ts";

export interface StartRoleOptions {
  readonly project: string;
  /** Folder of the bundles. */
  readonly dist: string;
  readonly logs: string;
  readonly env: Readonly<Record<string, string>>;
  readonly fingerprint: string;
  readonly startedWith: Readonly<Record<string, string>>;
}

/** Throws a `SetupError` when there is no such bundle. */
export function requireProgram(dist: string, program: string): void {
  if (!existsSync(join(dist, program))) throw new SetupError(`${join(dist, program)} does not exist`, "Build first: npm run build");
}

/** Does not wait. Throws a `SetupError` when it cannot be run. */
export function startRole(plan: PlannedProcess, { project, dist, logs, env, fingerprint, startedWith }: StartRoleOptions): RoleProcess {
  const program = join(dist, plan.program);
  const logFile = join(logs, `${plan.name}.log`);
  const identity = spawnDetached({ program: process.execPath, args: ["--enable-source-maps", program], env: { ...env, ...plan.env }, cwd: project, logFile });
  if (identity === undefined) throw new SetupError(`${plan.name} ended at once. ${endOfLog(logFile)}`, `Read ${logFile}.`);
  return { name: plan.name, addresses: plan.addresses, logFile, fingerprint, startedWith, process: identity };
}

/** Of one address of a process. `"ready"`, or why not: what `/readyz` lists, who else answers there, or what went wrong with the request. */
export async function readinessOf(url: string, pid: number | null, timeoutMs = 2_000): Promise<string> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(timeoutMs) });
    const body = await response.text();
    return readinessIn(body, pid, response.ok);
  } catch (err) {
    const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err;
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** Waits for all of them, together. Throws one `SetupError` with each that ended or did not become ready, and why. */
export async function awaitReady(roles: readonly RoleProcess[], deadlineMs: number): Promise<void> {
  const results = await Promise.allSettled(roles.map((role) => awaitRole(role, deadlineMs)));
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [result.reason instanceof Error ? result.reason.message : String(result.reason)] : []));
  if (reasons.length === 0) return;
  throw new SetupError(reasons.join("\n"), "Correct what the log says, then run `make up` again; it starts what is missing. `make logs` shows all logs, `make down` ends everything.");
}

async function awaitRole({ name, addresses, process: identity, logFile }: RoleProcess, deadlineMs: number): Promise<void> {
  let waitsFor = "";
  const probe = async (): Promise<true | undefined> => {
    if (!isRunning(identity)) return true; // told apart below: waiting longer is no use
    const states = await Promise.all(addresses.map(async ({ role, url }) => ({ role, state: await readinessOf(url, identity.pid) })));
    waitsFor = states.filter(({ state }) => state !== "ready").map(({ role, state }) => (addresses.length === 1 ? state : `${role}: ${state}`)).join("; ");
    return waitsFor === "" ? true : undefined;
  };
  await waitUntil(probe, { deadlineMs, everyMs: 100, describe: () => `${name} is not ready: ${waitsFor}. ${endOfLog(logFile)}` });
  if (!isRunning(identity)) throw new Error(`${name} (pid ${identity.pid}) ended while starting. ${endOfLog(logFile)}`);
}

const Answer = z.object({ pid: z.int(), problems: z.array(z.string()).default([]) });
/** Exported for its test. */
function readinessIn(body: string, pid: number | null, isReady: boolean): string {
  const answer = Answer.safeParse(jsonIn(body));
  if (!answer.success) return `what answers is no role of this version: ${body.slice(0, 200)}`;
  if (answer.data.pid !== pid) return `another process, with pid ${answer.data.pid}, answers at this address`;
  return isReady ? "ready" : answer.data.problems.join(", ");
}

function jsonIn(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // the schema says so
  }
}
