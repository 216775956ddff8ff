import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

import { GatewayConfig } from "../../producers/gateway/config.ts";
import { RouterConfig } from "../../router/config.ts";
import { servedBy, TierFile } from "../../shared/contracts/tiers.ts";
import { COMMAND_USERS, roleUsers } from "../../shared/messaging/permissions.ts";
import { ENVIRONMENT, type VariableName } from "../../shared/runtime/environment.ts";
import { AuditSinkConfig } from "../../sinks/audit/config.ts";
import { MetricsSinkConfig } from "../../sinks/metrics/config.ts";
import { ConsoleConfig } from "../../sinks/console/config.ts";
import { WebhookSenderConfig } from "../../sinks/webhooks/config.ts";
import { WorkerConfig } from "../../workers/config.ts";
import { ComposeFile, readCompose } from "./composeFile.ts";
import { brokenRules, type Facts } from "./composeRules.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const Prometheus = z.object({ rule_files: z.array(z.string()), scrape_configs: z.array(z.object({ job_name: z.string(), static_configs: z.array(z.object({ targets: z.array(z.string()) })) })) });
const prometheus = Prometheus.parse(parse(read("infra/prometheus/prometheus.yml")));
const scraped = prometheus.scrape_configs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets));

const isVariable = (name: string): name is VariableName => name in ENVIRONMENT;
const defaultOf = (name: VariableName): unknown => ENVIRONMENT[name].parse(undefined);
const defaultPortOf = (name: "NATS_URL" | "REDIS_URL" | "DATABASE_URL"): number => Number(new URL(String(defaultOf(name))).port);

/** Read by every process, before its own configuration (shared/runtime/runRole.ts). */
const PROCESS: readonly VariableName[] = ["LOG_LEVEL", "INFER_SHUTDOWN_GRACE_MS"];
const readBy = (config: { in: { shape: object } }): string[] => [...Object.keys(config.in.shape), ...PROCESS];

const facts: Facts = {
  reads: {
    gateway: readBy(GatewayConfig), router: readBy(RouterConfig), worker: readBy(WorkerConfig),
    "audit-sink": readBy(AuditSinkConfig), "metrics-sink": readBy(MetricsSinkConfig), "webhook-sender": readBy(WebhookSenderConfig), console: readBy(ConsoleConfig),
  },
  refusal: (variable, value) => {
    if (!isVariable(variable)) return "there is no such variable in shared/runtime/environment.ts";
    return ENVIRONMENT[variable].safeParse(value).error?.issues.map(({ message }) => message).join("; ");
  },
  defaultPort: {
    gateway: Number(defaultOf("INFER_GATEWAY_PORT")),
    gatewayAdmin: Number(defaultOf("INFER_GATEWAY_ADMIN_PORT")),
    router: Number(defaultOf("INFER_ROUTER_PORT")),
    "audit-sink": Number(defaultOf("INFER_AUDIT_SINK_PORT")),
    "metrics-sink": Number(defaultOf("INFER_METRICS_SINK_PORT")),
    "webhook-sender": Number(defaultOf("INFER_WEBHOOK_SENDER_PORT")),
    console: Number(defaultOf("INFER_CONSOLE_PORT")),
    firstWorker: Number(defaultOf("INFER_WORKER_PORT")),
  },
  serverPort: { nats: defaultPortOf("NATS_URL"), redis: defaultPortOf("REDIS_URL"), postgresql: defaultPortOf("DATABASE_URL") },
  shutdownGraceMs: Number(defaultOf("INFER_SHUTDOWN_GRACE_MS")),
  tiers: servedBy(TierFile.parse(parse(read("infra/config/tiers.yaml")))).map(({ name }) => name),
  scraped,
};

/** A fresh copy each time, so that a test may spoil it. */
const compose = (): ComposeFile => ComposeFile.parse(readCompose(read("docker-compose.yml")));
const service = (file: ComposeFile, name: string): ComposeFile["services"][string] => {
  const found = file.services[name];
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
};

describe("docker-compose.yml", () => {
  it("breaks no rule", () => {
    expect(brokenRules(compose(), facts)).toEqual([]);
  });

  it("starts one process per role and per tier, three servers, and what watches them", () => {
    expect(Object.keys(compose().services).sort()).toEqual([
      "audit-sink", "console", "gateway", "grafana", "metrics-sink", "nats", "postgres", "prometheus", "redis", "router", "setup", "webhook-sender",
      ...facts.tiers.map((tier) => `worker-${tier}`),
    ].sort());
  });

  it("names only files that are there", () => {
    const file = compose();
    const named = [...Object.values(file.configs).map(({ file: path }) => path), ...Object.values(file.services).flatMap(({ build }) => build?.dockerfile ?? [])];
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("gives Prometheus every rule file that it reads", () => {
    const mounted = service(compose(), "prometheus").configs.map(({ target }) => target);
    expect(prometheus.rule_files.length).toBeGreaterThan(0);
    expect(prometheus.rule_files.filter((file) => !mounted.includes(`/etc/prometheus/${file}`))).toEqual([]);
  });

  it("has alerts whose steps are written down", () => {
    const Rule = z.strictObject({
      alert: z.string(), expr: z.string(), for: z.string(), labels: z.strictObject({ severity: z.enum(["page", "ticket"]) }), annotations: z.strictObject({ summary: z.string(), runbook: z.string() }),
    });
    const { groups } = z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(Rule).min(1) })) }).parse(parse(read("infra/prometheus/alerts.yml")));
    const runbook = read("docs/operations.md");
    const alerts = groups.flatMap(({ rules }) => rules);
    expect(alerts.map(({ alert }) => alert)).toEqual(["ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", "LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly", "RoleDown", "FloorInDoubt", "FloorTightened", "ExperimentRolledBack", "PriceOver", "UsageClamped", "CostUnknown", "BudgetOverdrawn", "BudgetUnknown", "BudgetEndsEarly", "MoneyDiffers", "ReconcileStale", "StreamFilling", "RoutingStalled", "SinkBehind", "SinkLosesSoon", "JobsWait", "DeadLetters"]);
    expect(alerts.filter(({ alert }) => !runbook.includes(`\`${alert}\``))).toEqual([]);
  });

  it("gives Grafana its provider of dashboards and every dashboard that is made", () => {
    const mounted = service(compose(), "grafana").configs.map(({ target }) => target);
    const files = readdirSync(join(ROOT, "infra/grafana/provisioning/dashboards"));
    expect(files.length).toBeGreaterThan(5);
    expect(files.filter((file) => !mounted.includes(`/etc/grafana/provisioning/dashboards/${file}`))).toEqual([]);
    const { providers: [provider] } = z.object({ providers: z.tuple([z.object({ options: z.object({ path: z.string() }) })]) }).parse(parse(read("infra/grafana/provisioning/dashboards/dashboards.yaml")));
    expect(provider.options.path).toBe("/etc/grafana/provisioning/dashboards");
  });

  it("gives Grafana the Prometheus that it runs", () => {
    const provisioned = z.object({ datasources: z.tuple([z.object({ type: z.literal("prometheus"), uid: z.string(), url: z.string() })]) });
    const { datasources: [source] } = provisioned.parse(parse(read("infra/grafana/provisioning/datasources/prometheus.yaml")));
    expect(source.url).toBe("http://prometheus:9090");
    expect(service(compose(), "grafana").networks.some((network) => service(compose(), "prometheus").networks.includes(network))).toBe(true);
  });
});

it("docs/security.md shows an override in which each role that has a NATS user reads its own seed", () => {
  const [, text = ""] = /```yaml\n([^]*?)```/.exec(read("docs/security.md")) ?? [];
  const Override = z.strictObject({
    services: z.record(z.string(), z.strictObject({ environment: z.record(z.string(), z.string()).optional(), secrets: z.array(z.string()).optional(), configs: z.array(z.object({ source: z.string() })).optional() })),
    configs: z.record(z.string(), z.object({ file: z.string() })), secrets: z.record(z.string(), z.object({ file: z.string() })),
  });
  const { services, secrets } = Override.parse(parse(text));
  const seeds = Object.entries(services).flatMap(([name, { environment: variables, secrets: named = [] }]) =>
    named.map((secret) => [name, variables?.["NATS_NKEY_SEED_FILE"] === `/run/secrets/${secret}` ? secrets[secret]?.file : "another"]));
  const roles = roleUsers(facts.tiers).filter((role) => !COMMAND_USERS.some((user) => user === role)).map((role) => [role === "admin" ? "setup" : role, `./secrets/nats-users/${role}.nk`]);
  expect(seeds.sort()).toEqual(roles.sort());
  expect(Object.keys(services).filter((name) => !(name in compose().services))).toEqual([]);
});

type Spoil = (file: ComposeFile) => void;
const change = (name: string, with_: Partial<ComposeFile["services"][string]>): Spoil => (file) => void Object.assign(service(file, name), with_);
const environment = (name: string, variables: Record<string, string>): Spoil => (file) => void Object.assign(service(file, name).environment, variables);

describe("the rules find a planted mistake:", () => {
  const planted: [what: string, spoil: Spoil, sentence: string][] = [
    ["a writable root", change("redis", { read_only: false }), "redis: read_only is not true"],
    ["a root that nobody spoke of", change("router", { read_only: undefined }), "router: read_only is not true"],
    ["capabilities kept", change("nats", { cap_drop: [] }), "nats: cap_drop is not [ALL]"],
    ["only some capabilities dropped", change("nats", { cap_drop: ["NET_RAW"] }), "nats: cap_drop is not [ALL]"],
    ["a capability added", change("postgres", { cap_add: ["CHOWN"] }), "postgres: cap_add has CHOWN"],
    ["setuid programs allowed", change("grafana", { security_opt: [] }), "grafana: security_opt is not [no-new-privileges:true]"],
    ["seccomp off", change("grafana", { security_opt: ["no-new-privileges:true", "seccomp:unconfined"] }), "grafana: security_opt is not [no-new-privileges:true]"],
    ["no limit of processes", change("gateway", { pids_limit: undefined }), "gateway: no pids_limit"],
    ["no limit of memory", change("worker-large", { mem_limit: undefined }), "worker-large: no mem_limit"],
    ["logs without end", change("audit-sink", { logging: undefined }), "audit-sink: no logging limits"],
    ["another user", change("gateway", { user: "1000:1000" }), "gateway: user is not 10001:10001"],
    ["a user by name", change("redis", { user: "redis" }), "redis: user is not given as numbers"],
    ["no user", change("prometheus", { user: undefined }), "prometheus: user is not given as numbers"],
    ["root", change("postgres", { user: "0:0" }), "postgres: runs as root"],
    ["image latest", change("redis", { image: "redis:latest" }), "redis: image redis:latest is not pinned by exact version"],
    ["image without a tag", change("redis", { image: "redis" }), "redis: image redis is not pinned by exact version"],
    ["image by major version", change("postgres", { image: "postgres:17" }), "postgres: image postgres:17 is not pinned by exact version"],
    ["our image from anywhere", change("setup", { pull_policy: undefined }), "setup: is built here, but its image may be pulled (pull_policy: never)"],
    ["a port on every address", change("gateway", { ports: ["8080:8080"] }), "gateway: ports are [8080:8080], not [127.0.0.1:8080:8080, 127.0.0.1:8079:8079]"],
    ["administration on every address", change("gateway", { ports: ["127.0.0.1:8080:8080", "8079:8079"] }), "gateway: ports are [127.0.0.1:8080:8080, 8079:8079], not [127.0.0.1:8080:8080, 127.0.0.1:8079:8079]"],
    ["a port on all interfaces by name", change("grafana", { ports: ["0.0.0.0:3000:3000"] }), "grafana: ports are [0.0.0.0:3000:3000], not [127.0.0.1:3000:3000]"],
    ["a published database", change("postgres", { ports: ["127.0.0.1:5432:5432"] }), "postgres: ports are [127.0.0.1:5432:5432], not []"],
    ["a database with a way out", change("postgres", { networks: ["data", "edge"] }), "postgres: is on edge, which is not internal"],
    ["a sender that waits for no set-up", change("webhook-sender", { depends_on: {} }), "webhook-sender: does not wait for setup"],
    ["a network that is opened", (file) => void (file.networks["data"] = {}), "nats: is on data, which is not internal"],
    ["a published port that Docker would ignore", change("grafana", { networks: ["dashboards"] }), "grafana: is on internal networks only, where Docker publishes no port"],
    ["a network that is not there", change("router", { networks: ["dta", "scrape"] }), "router: there is no network dta"],
    ["a volume that is not there", change("nats", { volumes: ["nats:/data"] }), "nats: there is no volume nats"],
    ["a config that is not there", change("nats", { configs: [{ source: "nats-conf", target: "/etc/nats.conf" }] }), "nats: there is no config nats-conf"],
    ["no health check", change("nats", { healthcheck: undefined }), "nats: no health check"],
    ["no restart policy", change("nats", { restart: undefined }), "nats: no restart policy"],
    ["a dependency on nothing", change("gateway", { depends_on: { mysql: { condition: "service_healthy" } } }), "gateway: depends on mysql, which is not there"],
    ["a dependency on a start", change("grafana", { depends_on: { prometheus: { condition: "service_started" } } }), "grafana: depends on prometheus having started, which says nothing"],
    ["a healthy set-up", change("grafana", { depends_on: { setup: { condition: "service_healthy" } } }), "grafana: waits for setup to be healthy, which has no health check"],
    ["a completed server", change("grafana", { depends_on: { prometheus: { condition: "service_completed_successfully" } } }), "grafana: waits for prometheus to be service_completed_successfully, which it never is"],
    ["no wait for the set-up", change("gateway", { depends_on: { nats: { condition: "service_healthy" } } }), "gateway: does not wait for setup"],
    ["a password with a default", environment("grafana", { GF_SECURITY_ADMIN_PASSWORD: "${GF_SECURITY_ADMIN_PASSWORD:-admin}" }), "grafana: GF_SECURITY_ADMIN_PASSWORD is in the environment, not a file"],
    ["a secret in the environment", environment("router", { INFER_SECRET: "${INFER_SECRET:?set it}" }), "router: INFER_SECRET is in the environment, not a file"],
    ["a secret of another service", environment("worker-small", { INFER_SNAPSHOT_KEYS_FILE: "/run/secrets/snapshot-keys" }), "worker-small: INFER_SNAPSHOT_KEYS_FILE names no secret that it has"],
    ["the key of routers for a worker", environment("worker-small", { INFER_SNAPSHOT_KEYS_FILE: "/run/secrets/snapshot-keys" }), "worker-small: INFER_SNAPSHOT_KEYS_FILE is set, and this role does not read it"],
    ["a secret for nothing", change("worker-small", { secrets: ["infer-secret", "snapshot-keys"] }), "worker-small: has the secret snapshot-keys, which nothing of it reads"],
    ["a secret that is not there", change("worker-small", { secrets: ["infer-secret", "other"] }), "worker-small: there is no secret other"],
    ["a password in the file", environment("postgres", { POSTGRES_PASSWORD: "changeme" }), "postgres: POSTGRES_PASSWORD is in the environment, not a file"],
    ["a password in a URL", environment("setup", { DATABASE_URL: "postgresql://infer:changeme@postgres:5432/infer" }), "setup: the password in DATABASE_URL is in the environment, not a file"],
    ["Grafana's own password", (file) => void delete service(file, "grafana").environment["GF_SECURITY_ADMIN_PASSWORD__FILE"], "grafana: GF_SECURITY_ADMIN_PASSWORD__FILE is not set, so it is admin"],
    ["anonymous Grafana", environment("grafana", { GF_AUTH_ANONYMOUS_ENABLED: "true" }), "grafana: GF_AUTH_ANONYMOUS_ENABLED is not \"false\""],
    ["a misspelt variable", environment("router", { INFER_ROUTER_CONCURENCY: "8" }), "router: INFER_ROUTER_CONCURENCY: there is no such variable in shared/runtime/environment.ts"],
    ["a value that is refused", environment("router", { LOG_LEVEL: "verbose" }), "router: LOG_LEVEL: Invalid option: expected one of \"debug\"|\"info\"|\"warn\"|\"error\"|\"silent\""],
    ["a server that is not there", environment("router", { NATS_URL: "nats://localhost:4222" }), "router: NATS_URL names localhost, which is no service"],
    ["a server on another port", environment("router", { REDIS_URL: "redis://redis:6380" }), "router: REDIS_URL has port 6380, not 6379"],
    ["a server out of reach", change("router", { networks: ["scrape"] }), "router: NATS_URL names nats, which is on no common network"],
    ["a role on its own loopback", environment("router", { INFER_HTTP_HOST: "127.0.0.1" }), "router: INFER_HTTP_HOST is not 0.0.0.0, so nobody reaches it"],
    ["administration on its container's loopback", environment("gateway", { INFER_GATEWAY_ADMIN_HOST: "127.0.0.1" }), "gateway: INFER_GATEWAY_ADMIN_HOST is not 0.0.0.0, so nobody reaches it"],
    ["keyless elsewhere", environment("audit-sink", { INFER_SECRET: "x".repeat(32) }), "audit-sink: INFER_SECRET is set, and this role does not read it"],
    ["a NATS user for a role that has none", environment("webhook-sender", { NATS_NKEY_SEED_FILE: "/run/secrets/seed" }), "webhook-sender: NATS_NKEY_SEED_FILE is set, and this role does not read it"],
    ["a password for a role that needs none", environment("worker-small", { DATABASE_URL: "postgresql://infer:${POSTGRES_PASSWORD:?x}@postgres:5432/infer" }), "worker-small: DATABASE_URL is set, and this role does not read it"],
    ["a role without its server", (file) => void delete service(file, "audit-sink").environment["DATABASE_URL_FILE"], "audit-sink: DATABASE_URL is not set, so it looks for Postgres on its own loopback"],
    ["a kill before the grace is over", change("worker-small", { stop_grace_period: "10s" }), "worker-small: stop_grace_period is not above INFER_SHUTDOWN_GRACE_MS (10000 ms)"],
    ["a role that keeps files", change("router", { volumes: ["nats-data:/data"] }), "router: has a volume; our processes keep nothing on disk"],
    ["a command that is not built", change("router", { command: ["node", "dist/routr.js"] }), "router: runs dist/routr.js, which the build does not make"],
    ["a command of sources", change("router", { command: ["node", "router/main.ts"] }), "router: has no command of the form node dist/<entry>.js"],
    ["no such role", change("router", { command: ["node", "dist/gateway.js"] }), "no service runs dist/router.js"],
    ["a health check of another port", change("worker-medium", { healthcheck: service(compose(), "worker-small").healthcheck }), "worker-medium: its health check asks port 8090, not 8091"],
    ["a tier without a worker", (file) => void delete file.services["worker-large"], "no worker for tier large"],
    ["a worker without a tier", environment("worker-large", { INFER_WORKER_TIER: "huge" }), "a worker for tier huge, which tiers.yaml does not have"],
    ["a role that moved away from Prometheus", change("audit-sink", { networks: ["data"] }), "audit-sink: is on no network with Prometheus"],
    ["a role under a new name", (file) => void (file.services["router-2"] = service(file, "router")), "router-2: prometheus.yml does not scrape router-2:8081"],
    ["a target that left", (file) => void delete file.services["metrics-sink"], "prometheus.yml scrapes metrics-sink, which is no service"],
    ["two that build", change("gateway", { build: { context: ".", dockerfile: "infra/docker/Dockerfile" } }), "not exactly one service builds the image"],
  ];
  it.each(planted)("%s", (_what, spoil, sentence) => {
    const file = compose();
    spoil(file);
    expect(brokenRules(file, facts)).toContain(sentence);
  });
});

describe("the shape refuses", () => {
  const shapes: [what: string, service: object, path: string][] = [
    ["privileged", { privileged: true }, "services.redis"],
    ["the host's network", { network_mode: "host" }, "services.redis"],
    ["the host's processes", { pid: "host" }, "services.redis"],
    ["devices", { devices: ["/dev/kvm"] }, "services.redis"],
    ["a misspelt key", { cap_dropp: ["ALL"] }, "services.redis"],
    ["a bind mount", { volumes: ["./data:/data"] }, "services.redis.volumes.0"],
    ["the Docker socket", { volumes: ["/var/run/docker.sock:/var/run/docker.sock"] }, "services.redis.volumes.0"],
    ["a health check that is switched off", { healthcheck: { disable: true } }, "services.redis.healthcheck.test"],
    ["a tmpfs without a size", { tmpfs: ["/tmp"] }, "services.redis.tmpfs.0"],
    ["a memory limit of bytes without a unit", { mem_limit: "512" }, "services.redis.mem_limit"],
    ["a start that is always repeated", { restart: "always" }, "services.redis.restart"],
  ];
  it.each(shapes)("%s", (_what, with_, path) => {
    const file = compose();
    Object.assign(service(file, "redis"), with_);
    const paths = ComposeFile.safeParse(file).error?.issues.map((issue) => issue.path.join("."));
    expect(paths).toContain(path);
  });
});

describe("Dockerfile", () => {
  const lines = read("infra/docker/Dockerfile").split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const of = (instruction: string): string[] => lines.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.slice(instruction.length + 1));

  it("builds every stage on one exact version of Node that the project supports", () => {
    const bases = [...new Set(of("FROM").map((line) => line.split(" ")[0]))];
    expect(bases).toEqual([expect.stringMatching(/^node:20\.(19|[2-9]\d)\.\d+-bookworm-slim(@sha256:[0-9a-f]{64})?$/)]);
  });

  it("ends as the user that docker-compose.yml names, after everything that root has to do", () => {
    const last = lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
    const after = last.slice(last.indexOf("USER 10001:10001") + 1);
    expect(after.filter((line) => !line.startsWith("CMD "))).toEqual([]);
    expect(last).toContain("USER 10001:10001");
  });

  it("installs from the lockfile, fetches nothing else, and has no secret as an argument", () => {
    const runs = of("RUN").join("\n");
    expect(runs.match(/npm \S+/g)).toEqual(["npm ci", "npm run", "npm ci"]);
    expect(runs).not.toMatch(/curl|wget|apt-get|npx/);
    expect([...of("ADD"), ...of("ARG")]).toEqual([]);
  });

  it("puts the models where its environment says", () => {
    const folder = /INFER_LOCAL_MODELS_DIR=(\S+)/.exec(of("ENV").join(" "))?.[1];
    expect(folder).toBe("/app/local-models");
    expect(lines).toContain(`RUN INFER_LOCAL_MODELS_DIR=${folder} node dist/inferctl.js local-models`);
    expect(lines).toContain(`COPY --from=build ${folder} ./local-models`);
  });

  it("copies only what .dockerignore lets through, which is a list of what is allowed", () => {
    const ignore = read(".dockerignore").split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(ignore[0]).toBe("*");
    const allowed = ignore.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
    const sources = of("COPY").filter((line) => !line.startsWith("--from")).flatMap((line) => line.split(" ").slice(0, -1)).filter((path) => path !== ".");
    expect(sources.filter((path) => !allowed.some((entry) => path === entry || path.startsWith(`${entry}/`) || (entry === "*.json" && /^[^/]+\.json$/.test(path))))).toEqual([]);
    for (const never of ["**/.env*", "**/.infer", "**/node_modules"]) expect(ignore.lastIndexOf(never)).toBeGreaterThan(ignore.findLastIndex((line) => line.startsWith("!")));
  });
});
