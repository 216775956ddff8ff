import type { Logger } from "pino";
import type { z } from "zod";

import { makeLogger } from "#shared/telemetry/logger.ts";

import { armFailpoint, FailpointConfig } from "./failpoint.ts";
import { type Lifecycle, runScope, signalOfProcess } from "./lifecycle.ts";
import { loadConfig, loadNatsSeed, pick } from "./loadConfig.ts";

export interface RoleContext extends Lifecycle {
  readonly log: Logger;
  /** How long what runs may go on after `signal`, in milliseconds; then it is handed back. The process has a little longer. */
  readonly drainMs: number;
  /** Of the NATS user of this name; undefined when none is named, as for a server that is open. */
  readonly natsSeed: (role: string) => string | undefined;
  /** Whether a NATS server with a known hole is refused where strangers may reach it. Absent: it is not. */
  readonly refusesNatsHole?: boolean;
}
/** A process of its own, or one of several in a process: the same code. */
export interface Role<C = unknown> {
  readonly name: string;
  /** Of the environment. */
  readonly config: z.ZodType<C>;
  /** Resolves when the role has ended, after `signal`. */
  readonly start: (config: C, context: RoleContext) => Promise<void>;
}

/** What is left is for closing connections. */
const drainOf = (graceMs: number): number => Math.round(0.8 * graceMs);

/** What every process reads beside its role's own. */
export const ProcessConfig = pick("LOG_LEVEL", "INFER_SHUTDOWN_GRACE_MS", "INFER_FAILPOINT", "INFER_ALLOW_NATS_HOLE");

const NatsHoleConfig = pick("INFER_AUTH", "INFER_ALLOW_NATS_HOLE").transform(({ INFER_AUTH, INFER_ALLOW_NATS_HOLE }) => INFER_AUTH === "keys" && INFER_ALLOW_NATS_HOLE !== "yes");

/** What nobody caught ends the process, as it does by itself; but Node would print the error with all that hangs on it. */
function endOnUncaught(log: Logger): void {
  process.once("uncaughtException", (error) => {
    log.fatal({ err: error }, "ended by an error that nobody caught");
    process.exit(1);
  });
}

/** Configuration, logger, signals, exit code: all that an entry point does. */
export async function runRole<C>(role: Role<C>): Promise<void> {
  const config = loadConfig(role.config);
  const { LOG_LEVEL, INFER_SHUTDOWN_GRACE_MS } = loadConfig(ProcessConfig);
  armFailpoint(loadConfig(FailpointConfig).INFER_FAILPOINT);
  const refusesNatsHole = loadConfig(NatsHoleConfig);
  const log = makeLogger(role.name, LOG_LEVEL);
  endOnUncaught(log);
  const shutdown = signalOfProcess(log, INFER_SHUTDOWN_GRACE_MS);
  const start = (lifecycle: Lifecycle) => role.start(config, { ...lifecycle, log, drainMs: drainOf(INFER_SHUTDOWN_GRACE_MS), natsSeed: loadNatsSeed, refusesNatsHole });
  // One that failed must end too: what it repeats until the signal would keep the process there, doing nothing.
  const isFine = await runScope(log, shutdown.signal, (lifecycle) => start(lifecycle).finally(() => { shutdown.abort(); }));
  endWith(isFine, log);
}

/** The last line of a process that ended by itself. */
function endWith(isFine: boolean, log: Logger): void {
  process.exitCode = isFine ? 0 : 1;
  log.info({ exit_code: process.exitCode }, "ended");
}

/** Several roles in this process. When one of them fails, all stop. */
export async function runRolesTogether(starts: readonly { name: string; start: (context: RoleContext) => Promise<void> }[]): Promise<void> {
  const { LOG_LEVEL, INFER_SHUTDOWN_GRACE_MS } = loadConfig(ProcessConfig);
  armFailpoint(loadConfig(FailpointConfig).INFER_FAILPOINT);
  const refusesNatsHole = loadConfig(NatsHoleConfig);
  const ownLog = makeLogger("all-in-one", LOG_LEVEL);
  endOnUncaught(ownLog);
  const shutdown = signalOfProcess(ownLog, INFER_SHUTDOWN_GRACE_MS);
  const runs = starts.map(async ({ name, start }) => {
    const log = makeLogger(name, LOG_LEVEL);
    const isFine = await runScope(log, shutdown.signal, (lifecycle) => start({ ...lifecycle, log, drainMs: drainOf(INFER_SHUTDOWN_GRACE_MS), natsSeed: loadNatsSeed, refusesNatsHole }));
    shutdown.abort();
    return isFine;
  });
  endWith((await Promise.all(runs)).every(Boolean), ownLog);
}
