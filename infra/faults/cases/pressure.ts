/** F11, F19, F22, F25, F27, F28 and F31: stores that crawl or are full, little memory, poison, disorder, bursts, connections that are used up. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import pg from "pg";

import { errorOf, postJson } from "#infra/e2e/callers.ts";
import { LOOPBACK } from "#infra/embedded/freePort.ts";

import { promptOf } from "../backend.ts";
import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { CANARIES } from "../load.ts";
import { pick } from "../pick.ts";
import { type Rig, TENANTS } from "../rig.ts";

/** About 8 s of the load. */
const SOME_REQUESTS = 96;

/** Beside the load of the case: what these requests became is in the streams, and the oracle looks at all that is there. */
const asked = (tenant: string, id: string, more: object = {}, pad = "", delayMs = 20) => ({
  tenant_id: tenant, request_id: id, user_id: "pressure", budget: 1, deadline_ms: 120_000,
  input: JSON.stringify({ ...(JSON.parse(promptOf({ tenant, id, canary: CANARIES.get(tenant) ?? "", delayMs })) as object), ...(pad === "" ? {} : { pad }) }), ...more,
});

async function heldBy(url: string, connections: number, hold: (first: pg.Client) => Promise<void>): Promise<number> {
  const held: pg.Client[] = [];
  try {
    for (let i = 0; i < connections; i++) {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => undefined);
      if (!(await client.connect().then(() => true, () => false))) break;
      held.push(client);
    }
    const [first] = held;
    if (first === undefined) throw new Error("Postgres takes no connection at all");
    await hold(first);
    return held.length;
  } finally {
    await Promise.all(held.map((client) => client.end().catch(() => undefined)));
  }
}

/** Leaves a stream that many bytes, then gives it back what it had. */
async function full({ rig: { broker }, ...trial }: Pick<Trial, "rig" | "load" | "until" | "figure">, stream: string, leftBytes: number): Promise<void> {
  const { config, state } = await broker.jsm.streams.info(stream);
  await broker.jsm.streams.update(stream, { max_bytes: state.bytes + leftBytes });
  try {
    await during(trial, SOME_REQUESTS);
    trial.figure("KiB stored meanwhile", ((await broker.jsm.streams.info(stream)).state.bytes - state.bytes) / 1_024);
  } finally {
    await broker.jsm.streams.update(stream, { max_bytes: config.max_bytes });
  }
}

/** What two slots of slow models can do is far below what any machine can, so ten times as much is moderate. */
const SLOTS = 2, MODEL_MS = 500, TIMES = 10, BURST_MS = 20_000;
const COULD_DO_PER_S = SLOTS * (1_000 / MODEL_MS);
const BURST = TIMES * COULD_DO_PER_S * (BURST_MS / 1_000);
const LEAST_GOODPUT = 0.9;
interface BurstCount { answered: number; refused: number; failed: number; withoutRetryAfter: number }
/** As the API asks its callers to, but for patience: again when it says so, three times in all. */
async function askThrice(url: string, body: object, count: BurstCount): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    const answer = await postJson(url, body).catch(() => null);
    if (answer?.status === 200) {
      count.answered += 1;
      return;
    }
    if (answer?.text.includes('"outcome":') === true) {
      count.failed += 1;
      return;
    }
    count.refused += 1;
    if (answer !== null && ["overloaded", "rate_limited"].includes(errorOf(answer).code) && answer.headers.get("retry-after") === null) count.withoutRetryAfter += 1;
    await sleep(1_000 * Number(answer?.headers.get("retry-after") ?? 1));
  }
}

const fileLimitOf = (pid: number) => Number(execFileSync("prlimit", ["--pid", String(pid), "--nofile", "--output", "SOFT", "--noheadings", "--raw"], { encoding: "utf8" }));
const limitFiles = (pid: number, most: number) => execFileSync("prlimit", ["--pid", String(pid), `--nofile=${most}:`]);

export const pressure: readonly FaultCase[] = [
  {
    id: "F11a", title: "Postgres answers after 2 s", isInShortForm: false, isForSoak: true, recoveryMs: 2_000,
    async strike(trial) {
      for (const proxy of trial.rig.proxies("postgres")) proxy.set({ down: { latencyMs: 2_000 } });
      await during(trial, SOME_REQUESTS);
      for (const proxy of trial.rig.proxies("postgres")) proxy.heal();
    },
  },
  {
    id: "F11b", title: "somebody holds a lock on the ledger and the audit", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    strike: (trial) => heldBy(trial.rig.server("postgres").url, 1, async (client) => {
      await client.query("BEGIN; LOCK TABLE ledger, requests, attempts IN ACCESS EXCLUSIVE MODE");
      await during(trial, SOME_REQUESTS);
      await client.query("ROLLBACK");
    }).then(() => undefined),
  },
  {
    id: "F11c", title: "all connections of Postgres are taken", isInShortForm: false, isForSoak: true, recoveryMs: 2_000,
    async strike(trial) {
      trial.figure("connections taken", await heldBy(trial.rig.server("postgres").url, 200, () => during(trial, SOME_REQUESTS)));
    },
  },
  ...["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS"].map((stream, i): FaultCase => ({
    id: `F19${"abcd"[i] ?? ""}`, title: `${stream} is full`, isInShortForm: stream === "COMPLETIONS", isForSoak: true, recoveryMs: 10_000, afterMs: 10_000,
    async strike(trial) {
      await full(trial, stream, Math.floor(trial.random() * 20_000));
    },
    check(_verdict, { rig, violated }) {
      for (const { name, code, signal } of rig.exits) violated(`${name} ended with ${code ?? signal ?? "nothing"}`);
    },
  })),
  {
    id: "F22", title: "a gateway, a router and a worker with 64 MiB of heap and inputs of 150 KB", isInShortForm: false, isForSoak: false, recoveryMs: 10_000, afterMs: 17_000,
    async strike({ rig, mayRepeat, figure }) {
      const small = { NODE_OPTIONS: "--max-old-space-size=64" };
      for (const name of ["gateway-1", "router-1", "worker-cheap-1"]) await rig.restart(name, { env: small });
      rig.exits.splice(0);
      const pad = "a big input has many words ".repeat(5_600);
      const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => postJson(`${rig.gatewayUrls[i % 2] ?? ""}/infer`, asked("t5", `big-${i}-${Date.now().toString(36)}`, {}, pad)).catch(() => null)));
      figure("answered", answers.filter((answer) => answer?.status === 200).length);
      figure("ended for lack of memory", rig.exits.length);
      mayRepeat(rig.exits.filter(({ name }) => name.startsWith("worker")).length);
    },
  },
  {
    id: "F25", title: "a request that kills every worker that takes it", isInShortForm: false, isForSoak: false, load: { unsureShare: 0, failShare: 0 }, afterMs: 2_000,
    async strike({ rig, until, figure, violated }) {
      const id = `poison-${Date.now().toString(36)}`;
      const workers = rig.roles("worker-dear");
      for (const name of workers) await rig.restart(name, { failpoint: "before_call" });
      rig.exits.splice(0);
      const fromMs = performance.now();
      await postJson(`${rig.gatewayUrls[0] ?? ""}/infer`, asked("t4", id, { policy: "always-dear" }), { headers: { prefer: "respond-async" } });
      await until("the poison has no outcome", 150_000, async () => {
        for (const name of workers) if (!rig.role(name).isRunning()) await rig.restart(name, { failpoint: "before_call" });
        return rig.broker.hasCompletion("t4", id);
      });
      figure("given up after s", (performance.now() - fromMs) / 1_000);
      figure("workers killed", rig.exits.length);
      for (const name of workers) await rig.restart(name);
      const letters = await rig.broker.deadLetters();
      if (!letters.some((letter) => letter.request_id === id)) violated("what killed its workers is in no dead letter");
    },
  },
  {
    id: "F27", title: "messages come late, each way by another time of up to 2 s", isInShortForm: false, isForSoak: true, recoveryMs: 5_000,
    async strike(trial) {
      for (const proxy of trial.rig.proxies("nats")) {
        const fault = () => ({ latencyMs: Math.floor(500 * trial.random()), jitterMs: Math.floor(1_500 * trial.random()) });
        proxy.set({ up: fault(), down: fault() });
      }
      await during(trial, SOME_REQUESTS);
      for (const proxy of trial.rig.proxies("nats")) proxy.heal();
    },
  },
  {
    id: "F28", title: "ten times what the slots can do for 20 s, from callers who ask three times", isInShortForm: false, isForSoak: false, afterMs: 15_000, recoveryMs: 10_000,
    own: { tiers: [{ name: "cheap", slots: SLOTS }, { name: "dear", slots: SLOTS }], workersPerTier: 1 }, load: { ratePerS: 1, unsureShare: 0, failShare: 0 },
    async strike({ rig, figure, late, violated }) {
      const count: BurstCount = { answered: 0, refused: 0, failed: 0, withoutRetryAfter: 0 };
      const fromMs = performance.now();
      const began = Date.now().toString(36);
      const burst: Promise<void>[] = [];
      for (let i = 0; i < BURST; i++) {
        burst.push(askThrice(`${rig.gatewayUrls[i % 2] ?? ""}/infer`, asked(pick(TENANTS, () => i / BURST), `burst-${i}-${began}`, { deadline_ms: 5_000 }, "", MODEL_MS), count));
        await sleep(BURST_MS / BURST);
      }
      await Promise.all(burst);
      figure("asked in the burst", BURST);
      figure("answered of it", count.answered);
      figure("failed of it", count.failed);
      figure("refused for now", count.refused);
      const share = count.answered / ((performance.now() - fromMs) / 1_000) / COULD_DO_PER_S;
      figure("share of what could be done", share);
      if (share < LEAST_GOODPUT) late(`${share.toFixed(2)} of what could be done was answered in time`);
      if (count.answered === 0) violated("nothing of the burst was answered");
      if (count.withoutRetryAfter > 0) violated(`${count.withoutRetryAfter} refusals did not say when to ask again`);
    },
  },
  {
    id: "F31", title: "a gateway has no file descriptor left", isInShortForm: false, isForSoak: true, recoveryMs: 2_000,
    async strike(trial) {
      const { rig, random, figure } = trial;
      const name = pick(rig.roles("gateway"), random);
      const pid = rig.role(name).pid();
      if (pid === null) throw new Error(`${name} does not run`);
      const open = readdirSync(`/proc/${pid}/fd`).length;
      const idle = idleConnections(rig, name, 64);
      const before = fileLimitOf(pid);
      limitFiles(pid, open + 8);
      figure("descriptors", open + 8);
      await during(trial, SOME_REQUESTS);
      limitFiles(pid, before);
      for (const socket of idle) socket.destroy();
    },
    check(_verdict, { rig, violated }) {
      for (const { name, code, signal } of rig.exits) violated(`${name} ended with ${code ?? signal ?? "nothing"}`);
    },
  },
];

function idleConnections(rig: Rig, name: string, count: number): Socket[] {
  const port = Number(new URL(rig.role(name).plan.url).port);
  return Array.from({ length: count }, () => connect({ host: LOOPBACK, port }).on("error", () => undefined));
}
