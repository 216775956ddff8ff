/** A server that was started here, and what can be done with it. */
import { existsSync } from "node:fs";

import { type LaunchedServer, type LaunchPlan, launchServer } from "./launchServer.ts";
import { endProcess, type ProcessIdentity } from "./processIdentity.ts";
import type { ServerInfo } from "./serverInfo.ts";
import type { ServerBinary } from "./services.ts";

export interface RunningServer {
  /** As of the last start. */
  readonly info: () => ServerInfo;
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** In order, data kept. Safe to repeat. */
  readonly stop: () => Promise<void>;
  /** SIGKILL, as a crash; resolves when the process is gone. */
  readonly kill: () => Promise<void>;
  /** On the same port and data. Stops it first if need be. Resolves when it answers again. */
  readonly restart: () => Promise<void>;
}

export interface StartOptions {
  readonly binary: ServerBinary;
  readonly port: number;
  /** Made if missing. What it holds already is used. */
  readonly dataDir: string;
  readonly logFile: string;
  /** Watched: the server ends with this process, and the folder goes with it. */
  readonly endsWithUs?: { readonly removes: string } | undefined;
  /** Called as soon as there is a process, before it answers, so that a crash of ours cannot lose it. */
  readonly onSpawn?: ((info: ServerInfo) => void) | undefined;
}

export async function runServer(plan: LaunchPlan, { binary, port, onSpawn }: StartOptions): Promise<RunningServer> {
  const { url, dataDir, logFile, seedFile, passwordFile } = plan;
  const infoWith = (identity: ProcessIdentity): ServerInfo => ({
    service: binary.service, provider: binary.provider, version: binary.version, url, where: binary.path, port, dataDir, logFile, ...(seedFile === undefined ? {} : { seedFile }), ...(passwordFile === undefined ? {} : { passwordFile }), process: identity,
  });
  const launch = (): Promise<LaunchedServer> => launchServer(plan, (identity) => onSpawn?.(infoWith(identity)));
  let launched = await launch();
  const stop = async (): Promise<void> => {
    await endProcess(launched.identity, plan.stopSignal);
    launched.watcher.dismiss();
  };
  return {
    url, port, dataDir, stop,
    info: () => infoWith(launched.identity),
    kill: async () => {
      await endProcess(launched.identity, "SIGKILL");
      launched.watcher.forgetProcess();
    },
    restart: async () => {
      await stop();
      if (!existsSync(dataDir)) throw new Error(`${dataDir} is gone: a removed test server cannot be started again`);
      launched = await launch();
    },
  };
}
