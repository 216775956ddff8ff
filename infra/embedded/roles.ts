/**
 * The processes of the project: which program, which port, which variables. A worker process serves one tier, so the
 * tier file decides how many there are. Pure but for `roleEnvironment`'s arguments.
 */
import { replicasOf, servedBy, type TierFile } from "#shared/contracts/tiers.ts";
import { ENVIRONMENT } from "#shared/runtime/environment.ts";
import { seedFileIn } from "#shared/runtime/natsSeed.ts";

import type { Environment } from "./homeFolder.ts";
import type { PortVariable, Settings } from "./settings.ts";

/** Of one process each; workers are added per tier. */
const SINGLE_ROLES: readonly { readonly role: string; readonly variable: PortVariable }[] = [
  { role: "gateway", variable: "INFER_GATEWAY_PORT" },
  { role: "router", variable: "INFER_ROUTER_PORT" },
  { role: "audit-sink", variable: "INFER_AUDIT_SINK_PORT" },
  { role: "metrics-sink", variable: "INFER_METRICS_SINK_PORT" },
  { role: "webhook-sender", variable: "INFER_WEBHOOK_SENDER_PORT" },
  { role: "console", variable: "INFER_CONSOLE_PORT" },
];

export type Ports = Readonly<Record<PortVariable, number>>;

export interface PlannedProcess {
  /** Also of its log file. */
  readonly name: string;
  /** Below `dist/`. */
  readonly program: string;
  readonly addresses: { role: string; url: string }[];
  /** Beyond what all processes get. */
  readonly env: Readonly<Record<string, string>>;
}

/** How many ports from the variable's on a set-up with these tiers takes. */
export const portsTaken = (variable: PortVariable, file: Pick<TierFile, "tiers" | "embedders">): number => (variable === "INFER_WORKER_PORT" ? servedBy(file).length : 1);

export function planProcesses({ tiers, roleHost, adminHost }: Pick<Settings, "tiers" | "roleHost" | "adminHost">, ports: Ports, isSingleProcess: boolean): PlannedProcess[] {
  const addressOf = (role: string, port: number, host = roleHost) => ({ role, url: `http://${host.includes(":") ? `[${host}]` : host}:${port}` });
  const admin = addressOf("gateway-admin", ports.INFER_GATEWAY_ADMIN_PORT, adminHost);
  const singles = SINGLE_ROLES.map(({ role, variable }): PlannedProcess => ({ name: role, program: `${role}.js`, addresses: [addressOf(role, ports[variable]), ...(role === "gateway" ? [admin] : [])], env: {} }));
  const workers = servedBy(tiers).map(({ name }, i): PlannedProcess => ({
    name: `worker-${name}`, program: "worker.js", addresses: [addressOf(`worker-${name}`, ports.INFER_WORKER_PORT + i)], env: { INFER_WORKER_TIER: name },
  }));
  const all = [...singles.slice(0, 2), ...workers, ...singles.slice(2)];
  if (!isSingleProcess) return all;
  return [{ name: "all-in-one", program: "all-in-one.js", addresses: all.flatMap(({ addresses }) => addresses), env: {} }];
}

/** Each process gets the seed of its own role alone, one of several roles the folder. `users`: the roles that have one. */
export const withSeeds = (plans: readonly PlannedProcess[], seeds: string, users: readonly string[]): PlannedProcess[] =>
  plans.map((plan) => {
    const [role, ...others] = plan.addresses.map((address) => address.role).filter((name) => users.includes(name));
    return role === undefined ? plan : { ...plan, env: { ...plan.env, NATS_NKEY_SEED_FILE: others.length === 0 ? seedFileIn(seeds, role) : seeds } };
  });

/** Of routers alone: what workers may not know. */
const OF_ROUTERS = ["INFER_SNAPSHOT_KEYS", "INFER_SNAPSHOT_KEYS_FILE"] as const;

export const withSnapshotKeys = (plans: readonly PlannedProcess[], environment: Environment): PlannedProcess[] =>
  plans.map((plan) => {
    if (!plan.addresses.some(({ role }) => role === "router")) return plan;
    return { ...plan, env: { ...plan.env, ...Object.fromEntries(OF_ROUTERS.flatMap((name) => (environment[name] ? [[name, environment[name]]] : []))) } };
  });

interface Context {
  readonly settings: Pick<Settings, "tiers" | "tiersFile" | "pricesFile" | "localModelsDir">;
  readonly ports: Ports;
  readonly urls: Readonly<Partial<Record<string, string>>>;
}

/** A role gets what it may know, not the whole environment of whoever typed `make up`. */
export function roleEnvironment(environment: Environment, { settings, ports, urls }: Context): Record<string, string> {
  const secrets = secretVariables(settings.tiers);
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && value !== "" && (isForEveryProcess(name) || secrets.has(name))) env[name] = value;
  }
  delete env["INFER_WORKER_TIER"];
  delete env["INFER_API_KEY"];
  for (const name of OF_ROUTERS) Reflect.deleteProperty(env, name);
  for (const [name, port] of Object.entries(ports)) env[name] = String(port);
  for (const [name, url] of Object.entries(urls)) if (url !== undefined) env[name] = url;
  return { ...env, INFER_TIERS_FILE: settings.tiersFile, INFER_PRICES_FILE: settings.pricesFile, INFER_LOCAL_MODELS_DIR: settings.localModelsDir };
}

/** NODE_AUTH_TOKEN belongs to npm. */
const isForEveryProcess = (name: string): boolean =>
  name in ENVIRONMENT || ["PATH", "HOME", "TZ", "LANG"].includes(name) || name.startsWith("OTEL_") || (name.startsWith("NODE_") && !name.includes("TOKEN"));

function secretVariables(file: TierFile): Set<string> {
  const names = servedBy(file).flatMap(replicasOf).flatMap(({ backend }) => {
    const key = "api_key" in backend ? backend.api_key : undefined;
    return key !== undefined && "env" in key ? [key.env] : [];
  });
  return new Set(names);
}
