import { z } from "zod";

import { ProcessIdentity } from "./processIdentity.ts";
import { Provider, ServiceName } from "./services.ts";

/** Where a server is and who runs it. JSON: it goes into the state file and from vitest's main process to its workers. */
export const ServerInfo = z.strictObject({
  service: ServiceName,
  provider: Provider,
  version: z.string(),
  url: z.string(),
  /** Program, or for a given server the variable that named it. */
  where: z.string(),
  port: z.int().optional(),
  dataDir: z.string().optional(),
  logFile: z.string().optional(),
  /** NATS that asks for users: the file with the seed of `admin`. Missing: it is open. */
  seedFile: z.string().optional(),
  /** Redis and Postgres that ask for passwords: the file with their owner's. Missing: they are open. */
  passwordFile: z.string().optional(),
  /** Missing for a server that is not ours. */
  process: ProcessIdentity.optional(),
});
export type ServerInfo = Readonly<z.infer<typeof ServerInfo>>;
