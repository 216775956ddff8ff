import { expect, test } from "vitest";

import { choosePorts, movedPorts, type PortsBefore } from "./choosePorts.ts";
import { planProcesses, roleEnvironment } from "./roles.ts";
import type { PortVariable, Settings } from "./settings.ts";

const tier = (name: string, backend: unknown = { kind: "local", model: name }) => ({ name, backend });
const DOCUMENTED = { INFER_GATEWAY_PORT: 8080, INFER_GATEWAY_ADMIN_PORT: 8079, INFER_ROUTER_PORT: 8081, INFER_AUDIT_SINK_PORT: 8085, INFER_METRICS_SINK_PORT: 8086, INFER_WEBHOOK_SENDER_PORT: 8087, INFER_CONSOLE_PORT: 8088, INFER_WORKER_PORT: 8090 };
const settings = (chosen: Partial<Record<PortVariable, number>> = {}) =>
  ({ ports: { ...DOCUMENTED, ...chosen }, chosenPorts: new Set(Object.keys(chosen)), roleHost: "127.0.0.1", adminHost: "127.0.0.1", tiersFile: "/t.yaml", pricesFile: "/p.yaml", localModelsDir: "/m", tiers: { tiers: [tier("small"), tier("large")], embedders: [] } }) as unknown as Settings;

function before(taken: number[], changes: Partial<PortsBefore> = {}): PortsBefore & { lines: string[] } {
  const lines: string[] = [];
  return { former: {}, held: new Set(), isFree: (port) => Promise.resolve(!taken.includes(port)), onProgress: (line) => void lines.push(line), lines, ...changes };
}

test("the documented ports, when they are free", async () => expect(await choosePorts(settings(), before([]))).toEqual(DOCUMENTED));

test("another port for one that is taken, and says so", async () => {
  const machine = before([8080]);
  const ports = await choosePorts(settings(), machine);
  expect(ports.INFER_GATEWAY_PORT).toBeGreaterThan(20_000);
  expect(machine.lines).toEqual([`port 8080 is taken: using ${ports.INFER_GATEWAY_PORT} (INFER_GATEWAY_PORT sets it)`]);
});

test("what moved is known, also when it moved at an earlier start", async () => {
  const moved = await choosePorts(settings(), before([], { former: { INFER_GATEWAY_PORT: 25_000 } }));
  expect(movedPorts(settings(), moved)).toEqual([{ variable: "INFER_GATEWAY_PORT", wanted: 8080, used: 25_000 }]);
  expect(movedPorts(settings({ INFER_GATEWAY_PORT: 0 }), moved)).toEqual([]);
});

test("another base for the workers when any of their ports is taken", async () => {
  const { INFER_WORKER_PORT: base } = await choosePorts(settings(), before([8091]));
  expect(base).not.toBe(8090);
});

test("a port that somebody set is not replaced: the error names port and variable", async () => {
  await expect(choosePorts(settings({ INFER_ROUTER_PORT: 9001 }), before([9001]))).rejects.toThrow(/port 9001 is taken .* INFER_ROUTER_PORT=9001/);
});

test("two roles never get one port", async () => {
  await expect(choosePorts(settings({ INFER_ROUTER_PORT: 8091, INFER_WORKER_PORT: 8090 }), before([]))).rejects.toThrow(/INFER_WORKER_PORT=8090/);
  const ports = await choosePorts(settings({ INFER_ROUTER_PORT: 8080 }), before([]));
  expect(ports.INFER_GATEWAY_PORT).not.toBe(8080);
});

test("a running role keeps its port, though it is taken: by itself", async () => {
  const ports = await choosePorts(settings(), before([8080, 25_000], { former: { INFER_GATEWAY_PORT: 25_000 }, held: new Set([25_000]) }));
  expect(ports.INFER_GATEWAY_PORT).toBe(25_000);
});

test("one worker per tier, on consecutive ports", () => {
  const plans = planProcesses(settings(), DOCUMENTED, false);
  expect(plans.map(({ name }) => name)).toEqual(["gateway", "router", "worker-small", "worker-large", "audit-sink", "metrics-sink", "webhook-sender", "console"]);
  expect(plans[3]).toMatchObject({ program: "worker.js", env: { INFER_WORKER_TIER: "large" }, addresses: [{ url: "http://127.0.0.1:8091" }] });
});

test("the gateway's admin listener, where it can be reached", () => {
  const [gateway] = planProcesses({ ...settings(), adminHost: "10.0.0.1" }, DOCUMENTED, false);
  expect(gateway?.addresses).toEqual([{ role: "gateway", url: "http://127.0.0.1:8080" }, { role: "gateway-admin", url: "http://10.0.0.1:8079" }]);
});

test("another port for the admin listener where its own is taken, or an error where somebody set it", async () => {
  const machine = before([8079]);
  const ports = await choosePorts(settings(), machine);
  expect(machine.lines).toEqual([`port 8079 is taken: using ${ports.INFER_GATEWAY_ADMIN_PORT} (INFER_GATEWAY_ADMIN_PORT sets it)`]);
  expect(movedPorts(settings(), ports)).toEqual([{ variable: "INFER_GATEWAY_ADMIN_PORT", wanted: 8079, used: ports.INFER_GATEWAY_ADMIN_PORT }]);
  await expect(choosePorts(settings({ INFER_GATEWAY_ADMIN_PORT: 8079 }), before([8079]))).rejects.toThrow("INFER_GATEWAY_ADMIN_PORT=8079 asks for it");
});

test("one process with the addresses of all roles", () => {
  const [plan, ...rest] = planProcesses(settings(), DOCUMENTED, true);
  expect(rest).toEqual([]);
  expect(plan?.addresses).toHaveLength(9);
});

test("a role gets what it may know and nothing else", () => {
  const backend = { kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 1, api_key: { env: "MY_KEY" } };
  const replicated = { name: "replicated", replicas: [{ name: "a", backend }, { name: "b", backend: { kind: "gemini", model: "m", api_key: { env: "OTHER_KEY" } } }] };
  const hosted = { ...settings(), tiers: { tiers: [tier("hosted", backend), replicated], embedders: [] } } as unknown as Settings;
  const env = roleEnvironment(
    { PATH: "/bin", MY_KEY: "k", OTHER_KEY: "k", AWS_SECRET_ACCESS_KEY: "x", NODE_AUTH_TOKEN: "x", NODE_ENV: "test", OTEL_SERVICE_NAME: "s", INFER_WORKER_TIER: "x", LOG_LEVEL: "" },
    { settings: hosted, ports: DOCUMENTED, urls: { NATS_URL: "nats://127.0.0.1:1" } },
  );
  expect(Object.keys(env).sort()).toEqual([...Object.keys(DOCUMENTED), "INFER_LOCAL_MODELS_DIR", "INFER_PRICES_FILE", "INFER_TIERS_FILE", "MY_KEY", "NATS_URL", "NODE_ENV", "OTEL_SERVICE_NAME", "OTHER_KEY", "PATH"].sort());
});
