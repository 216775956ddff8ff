/** A nats-server with JetStream on file storage, on 127.0.0.1 only. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { LOOPBACK } from "./freePort.ts";
import { runServer, type RunningServer, type StartOptions } from "./runningServer.ts";

export interface NatsOptions extends StartOptions {
  /** `strict`: fsync before each ack, so that what is acked survives a power loss too. `fast` survives a crash of the process. */
  readonly durability?: "fast" | "strict" | undefined;
  /** Shown by every client as the server's name; a test checks it before it writes. */
  readonly serverName?: string | undefined;
  /** Bytes. The sum of all streams' `max_bytes` has to stay below it. */
  readonly maxFileStoreBytes?: number | undefined;
}

const MAX_FILE_STORE_BYTES = 16 * 2 ** 30;
const MAX_PAYLOAD_BYTES = 2 ** 20;

/** Throws a `SetupError` with the end of the log. 0.1-0.3 s. */
export async function startNats(options: NatsOptions): Promise<RunningServer> {
  const { binary, port, dataDir, logFile, endsWithUs } = options;
  mkdirSync(dataDir, { recursive: true });
  const configFile = join(dataDir, "nats.conf");
  writeFileSync(configFile, natsConfig(options));
  const plan = {
    service: "nats", program: binary.path, args: ["--config", configFile], env: {}, url: `nats://${LOOPBACK}:${port}`,
    dataDir, logFile, endsWithUs, stopSignal: "SIGTERM", readyDeadlineMs: 60_000,
  } as const;
  return runServer(plan, options);
}

/** JSON strings are valid in this format too, so a folder with a space or a quote is no problem. */
function natsConfig({ port, dataDir, durability = "fast", serverName = "infer", maxFileStoreBytes = MAX_FILE_STORE_BYTES }: NatsOptions): string {
  return `# Written at every start by infra/embedded/startNats.ts. No monitoring port is opened.
host: "${LOOPBACK}"
port: ${port}
server_name: ${JSON.stringify(serverName)}
max_payload: ${MAX_PAYLOAD_BYTES}
jetstream {
  store_dir: ${JSON.stringify(join(dataDir, "store"))}
  max_file_store: ${maxFileStoreBytes}
${durability === "strict" ? "  sync_interval: always\n" : ""}}
`;
}
