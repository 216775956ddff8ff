#!/usr/bin/env node
/**
 * Load on a running gateway: installs artillery beside this file when it is not there, runs infer.yml, prints a table.
 *
 * It sends to loopback addresses only: with another target this would be an attack on somebody's server, or a bill from a
 * model provider. Artillery's telemetry is off, and its telemetry client is overridden in package.json, since artillery sends
 * an event with ARTILLERY_DISABLE_TELEMETRY set too.
 *
 * Exit codes: 0 every request was answered as expected, 1 not every one (or artillery failed), 64 wrong use.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const HERE = import.meta.dirname;
const DEFAULT_TARGET = `http://127.0.0.1:${process.env.INFER_GATEWAY_PORT || 8080}`;
const HELP = `Usage: node infra/load/run.mjs [options]

Sends POST /infer at a fixed rate, after 10 seconds of warming up at 20/s or the rate, whichever is lower.

  --target URL      the gateway, on a loopback address   ${DEFAULT_TARGET} (port: INFER_GATEWAY_PORT)
  --rate N          requests per second, 1 to 2000       50 (LOAD_RATE)
  --duration S      seconds at that rate, 1 to 600       20 (LOAD_SECONDS)
  --json            the result as JSON
  --help            this text

The first run installs artillery into infra/load/node_modules: about 960 packages, 1 to 2 minutes.
`;

class UsageError extends Error {}

function options() {
  const { values } = parseArgs({
    options: { target: { type: "string" }, rate: { type: "string" }, duration: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } },
  });
  return {
    help: values.help ?? false,
    json: values.json ?? false,
    target: loopbackOnly(values.target ?? DEFAULT_TARGET),
    rate: wholeNumber("--rate", values.rate ?? process.env.LOAD_RATE ?? "50", 2_000),
    seconds: wholeNumber("--duration", values.duration ?? process.env.LOAD_SECONDS ?? "20", 600),
  };
}

/** The origin of `text`. Other spellings of an address (2130706433, 0x7f.1) are normalised by URL before they are looked at. */
function loopbackOnly(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:") throw new UsageError(`--target has to be an http URL such as http://127.0.0.1:8080, not ${text}`);
  const isLoopback = url.hostname === "localhost" || url.hostname === "[::1]" || (isIP(url.hostname) === 4 && url.hostname.startsWith("127."));
  if (!isLoopback) throw new UsageError(`--target ${url.hostname} is refused: load is sent to loopback addresses only (127.0.0.1, localhost, [::1])`);
  if (url.username !== "" || url.pathname !== "/" || url.search !== "") throw new UsageError(`--target is the gateway's address alone, without user, path or query: ${url.origin}`);
  return url.origin;
}

function wholeNumber(name, text, max) {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(value >= 1 && value <= max)) throw new UsageError(`${name} has to be a whole number from 1 to ${max}, not ${text}`);
  return value;
}

/** npm writes node_modules/.package-lock.json last, so half an installation does not count as one. */
function isInstalled() {
  const done = join(HERE, "node_modules", ".package-lock.json");
  return existsSync(done) && statSync(done).mtimeMs >= statSync(join(HERE, "package-lock.json")).mtimeMs;
}

async function install() {
  process.stderr.write("Installing artillery for infra/load, once: about 960 packages, 1 to 2 minutes ");
  const dots = setInterval(() => process.stderr.write("."), 3_000);
  const { code, output } = await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], process.env).finally(() => clearInterval(dots));
  process.stderr.write(code === 0 ? " done\n" : " failed\n");
  if (code !== 0) throw new Error(`npm ci in infra/load ended with ${code}:\n${output}`);
}

/** The child ends with us: Ctrl-C reaches it through the terminal, SIGTERM is passed on. */
function run(command, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: HERE, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => void (output = (output + text).slice(-4_000)));
    const pass = (signal) => child.kill(signal);
    process.on("SIGTERM", pass).on("SIGINT", pass);
    child.on("error", reject).on("close", (code, signal) => {
      process.off("SIGTERM", pass).off("SIGINT", pass);
      resolve({ code: code ?? signal, output });
    });
  });
}

/** No proxy variable reaches artillery, or it would hand the load to the proxy; HOME is a folder that goes away again. */
async function load({ target, rate, seconds }) {
  const folder = mkdtempSync(join(tmpdir(), "infer-load-"));
  try {
    const report = join(folder, "report.json");
    const env = {
      PATH: process.env.PATH, HOME: folder, TMPDIR: folder, ARTILLERY_DISABLE_TELEMETRY: "true",
      LOAD_WARM_UP_SECONDS: "10", LOAD_WARM_UP_RATE: String(Math.min(20, rate)), LOAD_SECONDS: String(seconds), LOAD_RATE: String(rate),
    };
    const artillery = join(HERE, "node_modules", "artillery", "bin", "run");
    const { code, output } = await run(process.execPath, [artillery, "run", "--quiet", "--target", target, "--output", report, "infer.yml"], env);
    if (!existsSync(report)) throw new Error(`artillery ended with ${code} and without a report:\n${output}`);
    return JSON.parse(readFileSync(report, "utf8")).aggregate;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Any answer will do: whether it is the right one, the run will tell. */
async function isThere(target) {
  return fetch(`${target}/healthz`, { redirect: "manual", signal: AbortSignal.timeout(5_000) }).then(() => true, () => false);
}

/** From artillery's totals. Latencies are of answered requests of any status, in milliseconds, warming up included. */
function summarise({ counters, summaries, firstCounterAt, lastCounterAt }, target) {
  const latency = summaries["http.response_time"] ?? {};
  const requests = counters["vusers.created"] ?? 0;
  const errors = counters["vusers.failed"] ?? 0;
  const reasons = Object.entries(counters).filter(([name]) => name.startsWith("errors.")).map(([name, count]) => [name.slice("errors.".length), count]);
  const statuses = Object.entries(counters).filter(([name]) => name.startsWith("http.codes.")).map(([name, count]) => [name.slice("http.codes.".length), count]);
  return {
    target, requests, ok: counters["vusers.completed"] ?? 0, errors,
    p50_ms: latency.p50 ?? null, p95_ms: latency.p95 ?? null, p99_ms: latency.p99 ?? null,
    requests_per_second: Math.round((requests / Math.max(1, (lastCounterAt - firstCounterAt) / 1_000)) * 10) / 10,
    statuses: Object.fromEntries(statuses), reasons: Object.fromEntries(reasons),
  };
}

function table(result) {
  const columns = ["requests", "ok", "errors", "p50_ms", "p95_ms", "p99_ms", "requests_per_second"];
  const titles = ["requests", "ok", "errors", "p50 ms", "p95 ms", "p99 ms", "req/s"];
  const cells = columns.map((column) => String(result[column] ?? "-"));
  const line = (texts) => texts.map((text, i) => text.padStart(Math.max(titles[i].length, cells[i].length))).join("  ");
  const list = (counts) => Object.entries(counts).map(([name, count]) => `  ${count} x ${name}`);
  const problems = result.errors === 0 ? [] : ["", "answers by status:", ...list(result.statuses), "errors:", ...list(result.reasons)];
  return [line(titles), line(cells), ...problems].join("\n") + "\n";
}

async function main() {
  const { help, json, ...chosen } = options();
  if (help) return void process.stdout.write(HELP);
  if (!(await isThere(chosen.target))) throw new Error(`Nothing answers at ${chosen.target}. Start the gateway first (make up), or name it with --target.`);
  if (!isInstalled()) await install();
  process.stderr.write(`${chosen.target}: 10 s at ${Math.min(20, chosen.rate)}/s, then ${chosen.seconds} s at ${chosen.rate}/s\n`);
  const result = summarise(await load(chosen), chosen.target);
  process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : table(result));
  if (result.requests === 0 || result.ok !== result.requests) process.exitCode = 1;
}

await main().catch((error) => {
  const isUsage = error instanceof UsageError || error.code?.startsWith("ERR_PARSE_ARGS");
  process.stderr.write(`${error.message}\n${isUsage ? "See --help.\n" : ""}`);
  process.exitCode = isUsage ? 64 : 1;
});
