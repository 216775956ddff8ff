/** A real Prometheus for a test: this folder's configuration and rules, with the test's targets, and rules that are evaluated every second. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse, stringify } from "yaml";
import { z } from "zod";

import { anyFreePort, LOOPBACK } from "#infra/embedded/freePort.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";

const Config = z.looseObject({ global: z.looseObject({}), rule_files: z.array(z.string()), scrape_configs: z.array(z.looseObject({ job_name: z.string() })) });
const Answer = z.object({ status: z.literal("success"), data: z.object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })) }) });
export type Sample = z.infer<typeof Answer>["data"]["result"][number];

export interface TestPrometheus {
  /** Of its API, below `/api/v1/`. Throws what it says. */
  readonly get: (path: string) => Promise<unknown>;
  /** As of now. */
  readonly query: (expr: string) => Promise<readonly Sample[]>;
  readonly stop: () => Promise<void>;
}
export interface StartPrometheusOptions {
  readonly program: string;
  /** For its data; the caller's to remove. */
  readonly folder: string;
  /** By job: host and port. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

export async function startPrometheus({ program, folder, targets }: StartPrometheusOptions): Promise<TestPrometheus> {
  const listen = `${LOOPBACK}:${await anyFreePort()}`;
  const read = (file: string) => readFileSync(join(import.meta.dirname, file), "utf8");
  const { scrape_configs: jobs, ...config } = Config.parse(parse(read("prometheus.yml")));
  for (const file of config.rule_files) writeFileSync(join(folder, file), read(file).replaceAll(/interval: \d+m/g, "interval: 1s"));
  const of = (job: string) => (job === "prometheus" ? [listen] : targets[job]) ?? [];
  const scrape = jobs.map((job) => ({ ...job, static_configs: [{ targets: of(job.job_name) }] }));
  const configFile = join(folder, "prometheus.yml");
  writeFileSync(configFile, stringify({ ...config, global: { ...config.global, evaluation_interval: "1s" }, scrape_configs: scrape }));
  const logFile = join(folder, "prometheus.log");
  const log = openSync(logFile, "w");
  const child = spawn(program, [`--config.file=${configFile}`, `--storage.tsdb.path=${join(folder, "data")}`, `--web.listen-address=${listen}`], { stdio: ["ignore", log, log] });
  const kill = () => { child.kill("SIGKILL"); };
  process.once("exit", kill);
  const ended = once(child, "exit");
  const stop = async () => {
    process.removeListener("exit", kill);
    child.kill("SIGTERM");
    await ended;
  };
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${listen}/api/v1/${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${text}`);
    return JSON.parse(text);
  };
  const isReady = () => fetch(`http://${listen}/-/ready`).then(({ ok }) => (ok ? true : undefined), () => undefined);
  await waitUntil(isReady, { deadlineMs: 30_000, everyMs: 100, describe: () => `Prometheus is not ready: ${readFileSync(logFile, "utf8").split("\n").slice(-4).join("\n")}` }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { get, stop, query: async (expr) => Answer.parse(await get(`query?query=${encodeURIComponent(expr)}`)).data.result };
}
