/**
 * The three servers that everything else stands on: what is accepted, under which names it is found, what to advise when
 * it is not. A fourth server would be one more entry here and one `start…` file.
 */
import { z } from "zod";

export const SERVICE_NAMES = ["nats", "redis", "postgres"] as const;
export const ServiceName = z.enum(SERVICE_NAMES);
export type ServiceName = z.infer<typeof ServiceName>;

export interface Service {
  readonly title: string;
  readonly minimumVersion: string;
  readonly documentedPort: number;
  readonly urlVariable: "NATS_URL" | "REDIS_URL" | "DATABASE_URL";
  readonly binaryVariable: "NATS_SERVER_BIN" | "REDIS_SERVER_BIN" | "PG_BIN";
  /** The program; for Postgres it has to lie beside `initdb`. */
  readonly program: string;
  readonly besides: readonly string[];
  /** Looked at after PATH, because a normal user's PATH lacks them. A `*` stands for version folders, newest first. */
  readonly otherFolders: readonly string[];
  readonly hint: string;
}

export const SERVICES: Readonly<Record<ServiceName, Service>> = {
  nats: {
    title: "NATS server", minimumVersion: "2.10", documentedPort: 4222, urlVariable: "NATS_URL", binaryVariable: "NATS_SERVER_BIN",
    program: "nats-server", besides: [], otherFolders: ["/usr/sbin", "/usr/local/sbin"],
    hint: "macOS: brew install nats-server. Linux: install nats-server with your package manager, or set NATS_SERVER_BIN, or NATS_URL. With Docker: make compose-up.",
  },
  redis: {
    title: "Redis", minimumVersion: "7.0", documentedPort: 6379, urlVariable: "REDIS_URL", binaryVariable: "REDIS_SERVER_BIN",
    program: "redis-server", besides: [], otherFolders: ["/usr/sbin"],
    hint: "macOS: brew install redis. Linux: install redis with your package manager, or set REDIS_SERVER_BIN, or REDIS_URL. With Docker: make compose-up.",
  },
  postgres: {
    title: "Postgres", minimumVersion: "15", documentedPort: 5432, urlVariable: "DATABASE_URL", binaryVariable: "PG_BIN",
    program: "postgres", besides: ["initdb"], otherFolders: ["/usr/lib/postgresql/*/bin"],
    hint: "macOS: brew install postgresql. Linux: install postgresql with your package manager, or set PG_BIN (its bin folder), or DATABASE_URL. With Docker: make compose-up.",
  },
};

/** `embedded`: brought by this project, from apt (NATS, Redis) or npm (Postgres). */
export const Provider = z.enum(["url", "named", "found", "embedded"]);
export type Provider = z.infer<typeof Provider>;

/** A program that was run once with `--version` and is new enough. Plain JSON, so vitest can hand it to its workers. */
export const ServerBinary = z.strictObject({
  service: ServiceName,
  provider: Provider.exclude(["url"]),
  version: z.string(),
  path: z.string(),
  /** `LD_LIBRARY_PATH` that the program needs. */
  libraryPath: z.string().optional(),
});
export type ServerBinary = z.infer<typeof ServerBinary>;

/** A server that somebody else runs. It is used as it is; nothing is started or stopped. */
export const GivenServer = z.strictObject({ service: ServiceName, provider: z.literal("url"), version: z.string(), url: z.string() });
export type GivenServer = z.infer<typeof GivenServer>;

export type Located = ServerBinary | GivenServer;
