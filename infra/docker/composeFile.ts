/**
 * docker-compose.yml as this project writes it: the part of the Compose specification that is in use, and no other key. So
 * `privileged`, `network_mode`, `pid`, `devices`, a bind mount or a misspelt key is an error of shape before any rule is asked.
 */
import { parse } from "yaml";
import { z } from "zod";

const name = z.string().regex(/^[a-z][a-z0-9-]*$/);
const duration = z.string().regex(/^[1-9]\d*(ms|s|m)$/);
const size = z.string().regex(/^[1-9]\d*[mg]$/);
/** Named volumes only: `source:/target`. Files of the work tree come in as `configs`, which are read-only. */
const volume = z.string().regex(/^[a-z][a-z-]*:\/[a-z/]+$/);

const HealthCheck = z.strictObject({
  test: z.tuple([z.enum(["CMD", "CMD-SHELL"])], z.string()),
  interval: duration,
  timeout: duration,
  retries: z.int().positive(),
  start_period: duration,
});

export const Service = z.strictObject({
  image: z.string().min(1),
  build: z.strictObject({ context: z.literal("."), dockerfile: z.string() }).optional(),
  pull_policy: z.literal("never").optional(),
  user: z.string().optional(),
  command: z.array(z.string()).min(1).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  init: z.boolean().optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string().regex(/^\/[a-z/]+:size=\d+m(,mode=\d+)?$/)).default([]),
  cap_drop: z.array(z.string()).default([]),
  cap_add: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  pids_limit: z.int().positive().optional(),
  mem_limit: size.optional(),
  ports: z.array(z.string()).default([]),
  networks: z.array(name).min(1),
  volumes: z.array(volume).default([]),
  configs: z.array(z.strictObject({ source: name, target: z.string().startsWith("/") })).default([]),
  secrets: z.array(name).default([]),
  healthcheck: HealthCheck.optional(),
  depends_on: z.record(name, z.strictObject({ condition: z.enum(["service_healthy", "service_completed_successfully", "service_started"]) })).default({}),
  restart: z.enum(["unless-stopped", "no"]).optional(),
  stop_grace_period: duration.default("10s"),
  logging: z.strictObject({ driver: z.string(), options: z.strictObject({ "max-size": size, "max-file": z.string() }) }).optional(),
});
export type Service = z.infer<typeof Service>;

export const ComposeFile = z.strictObject({
  name,
  services: z.record(name, Service),
  networks: z.record(name, z.strictObject({ internal: z.boolean().optional() })),
  volumes: z.record(name, z.strictObject({})),
  configs: z.record(name, z.strictObject({ file: z.string().startsWith("./") })),
  /** Files that are made outside, in a folder that git and the image leave out. */
  secrets: z.record(name, z.strictObject({ file: z.string().startsWith("./secrets/") })),
});
export type ComposeFile = z.infer<typeof ComposeFile>;

/** The document as a value, anchors and merges resolved, `x-` extensions dropped. */
export function readCompose(text: string): unknown {
  const document = z.record(z.string(), z.unknown()).parse(parse(text, { merge: true, maxAliasCount: 1_000 }));
  return Object.fromEntries(Object.entries(document).filter(([key]) => !key.startsWith("x-")));
}

export const milliseconds = (text: string): number => {
  const [, amount, unit] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  return Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[unit as "ms" | "s" | "m"];
};

/** What Compose makes of `${NAME:?message}` (here: a stand-in) and `${NAME:-default}`. */
export const interpolate = (text: string): string => text.replaceAll(/\$\{[A-Z_]+:\?[^}]*\}/g, "stand0in".repeat(4)).replaceAll(/\$\{[A-Z_]+:-([^}]*)\}/g, "$1");
