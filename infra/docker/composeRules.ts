/**
 * The rules of hardening, and that docker-compose.yml agrees with the files it has to agree with. Pure: what the
 * other files say comes in as `Facts`. Every broken rule is one sentence that names the service.
 */
import { heldBy } from "../../shared/runtime/secretFiles.ts";

import { type ComposeFile, interpolate, milliseconds, type Service } from "./composeFile.ts";

export interface Facts {
  /** What this variable's schema says about the value: undefined when it is accepted. "no such variable" is a refusal too. */
  readonly refusal: (variable: string, value: string) => string | undefined;
  readonly defaultPort: Readonly<Record<"gateway" | "gatewayAdmin" | "router" | "audit-sink" | "metrics-sink" | "webhook-sender" | "console" | "firstWorker", number>>;
  /** Variables that each entry reads. None for `inferctl`, whose commands differ. */
  readonly reads: Readonly<Partial<Record<string, readonly string[]>>>;
  /** Port of each server, by the scheme of its URL. */
  readonly serverPort: Readonly<Record<"nats" | "redis" | "postgresql", number>>;
  readonly shutdownGraceMs: number;
  /** Names, cheapest first. */
  readonly tiers: readonly string[];
  /** `host:port`, from prometheus.yml. */
  readonly scraped: readonly string[];
}

/** What the build makes. `inferctl` is the command line; the others are processes that stay. */
const ROLES = ["gateway", "router", "worker", "audit-sink", "metrics-sink", "webhook-sender", "console"] as const;
const ENTRIES: readonly string[] = [...ROLES, "inferctl"];
const OUR_USER = "10001:10001";
/** Published on the host's loopback. Nothing else is. */
const PUBLISHED: Readonly<Record<string, readonly number[]>> = { gateway: [8080, 8079], grafana: [3000], prometheus: [9090] };
/** Its receivers are anywhere; what it may not reach is refused at each connection. */
const CALLS_OUT = new Set(["webhook-sender"]);
/** Root, without any capability, with the reason beside it in docker-compose.yml. */
const MAY_BE_ROOT = new Set(["nats"]);
const SERVER_URLS: Readonly<Record<string, string>> = { NATS_URL: "NATS", REDIS_URL: "Redis", DATABASE_URL: "Postgres" };
const PINNED = /^[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?(@sha256:[0-9a-f]{64})?$/;
const MOUNTED = "/run/secrets/";
const SECRET = /PASSWORD|SECRET|TOKEN|_KEY$/;

export function brokenRules(compose: ComposeFile, facts: Facts): string[] {
  const broken = Object.entries(compose.services).flatMap(([name, service]) => {
    const all = [...hardening(name, service), ...wiring(name, service, compose)];
    if (isOurs(service)) all.push(...role(name, service, compose, facts));
    return all.map((sentence) => `${name}: ${sentence}`);
  });
  return [...broken, ...completeness(compose, facts)];
}

const isOurs = (service: Service): boolean => service.pull_policy === "never";
const isOneShot = (service: Service): boolean => service.restart === "no";
const entriesOf = (service: Service): string[] => [...(service.command ?? []).join(" ").matchAll(/dist\/([a-z-]+)\.js/g)].map(([, entry]) => entry ?? "");
const roleOf = (service: Service): string | undefined => entriesOf(service).find((entry) => (ROLES as readonly string[]).includes(entry));

function* hardening(name: string, service: Service): Generator<string> {
  if (service.read_only !== true) yield "read_only is not true";
  if (service.cap_drop.join() !== "ALL") yield "cap_drop is not [ALL]";
  if (service.cap_add.length > 0) yield `cap_add has ${service.cap_add.join(", ")}`;
  if (service.security_opt.join() !== "no-new-privileges:true") yield "security_opt is not [no-new-privileges:true]";
  if (service.pids_limit === undefined) yield "no pids_limit";
  if (service.mem_limit === undefined) yield "no mem_limit";
  if (service.logging === undefined) yield "no logging limits";
  if (!isOurs(service) && !PINNED.test(service.image)) yield `image ${service.image} is not pinned by exact version`;
  if (service.build !== undefined && !isOurs(service)) yield "is built here, but its image may be pulled (pull_policy: never)";
  const [uid] = (service.user ?? "").split(":");
  if (isOurs(service) && service.user !== OUR_USER) yield `user is not ${OUR_USER}`;
  if (!/^\d+:\d+$/.test(service.user ?? "")) yield "user is not given as numbers";
  else if (uid === "0" && !MAY_BE_ROOT.has(name)) yield "runs as root";
  for (const [variable, value] of Object.entries(service.environment)) {
    const file = value.startsWith(MOUNTED) ? value.slice(MOUNTED.length) : null;
    if (SECRET.test(variable) && !variable.endsWith("_FILE")) yield `${variable} is in the environment, not a file`;
    if (variable.endsWith("_FILE") && (file === null || !service.secrets.includes(file))) yield `${variable} names no secret that it has`;
    if (/:\/\/[^/@:]*:.+@/.test(value)) yield `the password in ${variable} is in the environment, not a file`;
  }
  for (const secret of service.secrets) if (!Object.values(service.environment).includes(`${MOUNTED}${secret}`)) yield `has the secret ${secret}, which nothing of it reads`;
  if (name === "grafana" && !("GF_SECURITY_ADMIN_PASSWORD__FILE" in service.environment)) yield "GF_SECURITY_ADMIN_PASSWORD__FILE is not set, so it is admin";
  if (name === "grafana" && service.environment["GF_AUTH_ANONYMOUS_ENABLED"] !== "false") yield "GF_AUTH_ANONYMOUS_ENABLED is not \"false\"";
}

function* wiring(name: string, service: Service, compose: ComposeFile): Generator<string> {
  const published = PUBLISHED[name] ?? [];
  const wanted = published.map((port) => `127.0.0.1:${port}:${port}`);
  if (service.ports.join() !== wanted.join()) yield `ports are [${service.ports.join(", ")}], not [${wanted.join(", ")}]`;
  for (const network of service.networks) if (!(network in compose.networks)) yield `there is no network ${network}`;
  const open = service.networks.filter((network) => network in compose.networks && compose.networks[network]?.internal !== true);
  if (published.length === 0 && !CALLS_OUT.has(name) && open.length > 0) yield `is on ${open.join(", ")}, which is not internal`;
  if (published.length > 0 && open.length === 0) yield "is on internal networks only, where Docker publishes no port";
  for (const volume of service.volumes.map((text) => text.split(":")[0] ?? "")) if (!(volume in compose.volumes)) yield `there is no volume ${volume}`;
  for (const secret of service.secrets) if (!(secret in compose.secrets)) yield `there is no secret ${secret}`;
  for (const { source } of service.configs) if (!(source in compose.configs)) yield `there is no config ${source}`;
  if (service.restart === undefined) yield "no restart policy";
  if (isOneShot(service) ? !isOurs(service) : service.healthcheck === undefined) yield "no health check";
  for (const [other, { condition }] of Object.entries(service.depends_on)) {
    const target = compose.services[other];
    if (target === undefined) yield `depends on ${other}, which is not there`;
    else if (condition === "service_started") yield `depends on ${other} having started, which says nothing`;
    else if (condition === "service_healthy" && target.healthcheck === undefined) yield `waits for ${other} to be healthy, which has no health check`;
    else if ((condition === "service_completed_successfully") !== isOneShot(target)) yield `waits for ${other} to be ${condition}, which it never is`;
  }
}

function* role(name: string, service: Service, compose: ComposeFile, facts: Facts): Generator<string> {
  const entries = entriesOf(service);
  if (entries.length === 0) yield "has no command of the form node dist/<entry>.js";
  for (const entry of entries) if (!ENTRIES.includes(entry)) yield `runs dist/${entry}.js, which the build does not make`;
  if (service.volumes.length > 0) yield "has a volume; our processes keep nothing on disk";
  if (milliseconds(service.stop_grace_period) <= facts.shutdownGraceMs) yield `stop_grace_period is not above INFER_SHUTDOWN_GRACE_MS (${facts.shutdownGraceMs} ms)`;
  for (const [variable, value] of Object.entries(service.environment)) {
    const refusal = facts.refusal(variable, interpolate(value));
    if (refusal !== undefined) yield `${variable}: ${refusal}`;
    if (variable.endsWith("_URL")) yield* server(variable, new URL(interpolate(value)), service, compose, facts);
  }
  if (service.environment["INFER_HTTP_HOST"] !== "0.0.0.0") yield "INFER_HTTP_HOST is not 0.0.0.0, so nobody reaches it";
  if (roleOf(service) === "gateway" && service.environment["INFER_GATEWAY_ADMIN_HOST"] !== "0.0.0.0") yield "INFER_GATEWAY_ADMIN_HOST is not 0.0.0.0, so nobody reaches it";
  const reads = facts.reads[roleOf(service) ?? ""];
  for (const variable of reads ?? []) if (variable in SERVER_URLS && !(variable in service.environment) && !(`${variable}_FILE` in service.environment)) yield `${variable} is not set, so it looks for ${SERVER_URLS[variable]} on its own loopback`;
  for (const variable of Object.keys(service.environment)) if (reads?.includes(heldBy(variable)) === false) yield `${variable} is set, and this role does not read it`;
  const port = portOf(service, facts);
  if (port === undefined) return;
  if (!service.networks.some((network) => compose.services["prometheus"]?.networks.includes(network))) yield "is on no network with Prometheus";
  if (!facts.scraped.includes(`${name}:${port}`)) yield `prometheus.yml does not scrape ${name}:${port}`;
  const probed = /http:\/\/127\.0\.0\.1:(\d+)\//.exec(service.healthcheck?.test.join(" ") ?? "")?.[1];
  if (probed !== String(port)) yield `its health check asks port ${probed ?? "(none)"}, not ${port}`;
  const listens = [port, ...(roleOf(service) === "gateway" ? [facts.defaultPort.gatewayAdmin] : [])];
  for (const published of PUBLISHED[name] ?? []) if (!listens.includes(published)) yield `publishes ${published}, but listens on ${listens.join(" and ")}`;
  for (const need of ["setup", ...(reads?.includes("NATS_URL") === false ? [] : ["nats"])]) if (!(need in service.depends_on)) yield `does not wait for ${need}`;
}

function* server(variable: string, url: URL, service: Service, compose: ComposeFile, facts: Facts): Generator<string> {
  const target = compose.services[url.hostname];
  if (target === undefined) {
    yield `${variable} names ${url.hostname}, which is no service`;
    return;
  }
  if (!target.networks.some((network) => service.networks.includes(network))) yield `${variable} names ${url.hostname}, which is on no common network`;
  const wanted = variable === "INFER_CONSOLE_URL" ? facts.defaultPort.console : facts.serverPort[url.protocol.slice(0, -1) as keyof Facts["serverPort"]];
  if (url.port !== String(wanted)) yield `${variable} has port ${url.port}, not ${wanted}`;
}

function portOf(service: Service, facts: Facts): number | undefined {
  const entry = roleOf(service);
  if (entry === undefined) return undefined;
  if (entry === "worker") return facts.defaultPort.firstWorker + facts.tiers.indexOf(service.environment["INFER_WORKER_TIER"] ?? "");
  return facts.defaultPort[entry as Exclude<(typeof ROLES)[number], "worker">];
}

function* completeness(compose: ComposeFile, facts: Facts): Generator<string> {
  const services = Object.values(compose.services);
  for (const entry of ROLES) if (!services.some((service) => roleOf(service) === entry)) yield `no service runs dist/${entry}.js`;
  const served = services.filter((service) => roleOf(service) === "worker").map((service) => service.environment["INFER_WORKER_TIER"] ?? "(none)");
  for (const tier of facts.tiers) if (!served.includes(tier)) yield `no worker for tier ${tier}`;
  for (const tier of served) if (!facts.tiers.includes(tier)) yield `a worker for tier ${tier}, which tiers.yaml does not have`;
  for (const host of facts.scraped.map((target) => target.split(":")[0] ?? "")) {
    if (host !== "127.0.0.1" && !(host in compose.services)) yield `prometheus.yml scrapes ${host}, which is no service`;
  }
  if (services.filter((service) => service.build !== undefined).length !== 1) yield "not exactly one service builds the image";
}
