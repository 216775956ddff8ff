/**
 * How many recorded requests a second are decided again on one core, by CPU time, and where the time goes: `npm run bench:verify`. Events are read as the command reads them, in
 * a process that has made none: where the same code has made what is kept, V8 keeps what it makes later, too.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { verifyRequest } from "#router/evaluation/verify/verifyRequest.ts";
import { readAuditEvent } from "#shared/audit/readAuditEvent.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";

import { makeVerifyWorld } from "./verifyWorld.ts";

const EVENTS = 4_000;
const ROUNDS = 5;

/** Requests for each second of CPU, the most of some rounds. */
function rateOf(run: (i: number) => unknown): number {
  const rates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < EVENTS; i++) run(i);
    const { user, system } = process.cpuUsage(before);
    if (round > 0) rates.push((1e6 * EVENTS) / (user + system)); // the first one warms up
  }
  return Math.max(...rates);
}

function read(bytes: Buffer): Completion {
  const event = readAuditEvent(parseJson(bytes));
  if ("why" in event) throw new Error(event.what);
  return event.completion;
}

interface Made {
  readonly traffic: string;
  /** An event each, as JSON. */
  readonly lines: readonly string[];
  readonly tierFile: unknown;
  readonly model: RoutingModelFile;
}
function make(traffic: "typical" | "mixed"): Made {
  const world = makeVerifyWorld({ seed: 1, traffic });
  return { traffic, lines: Array.from({ length: EVENTS }, () => JSON.stringify(world.next())), tierFile: world.source, model: world.model };
}

function measure({ traffic, lines: texts, tierFile, model }: Made): void {
  const file = TierFile.parse(tierFile);
  const versions = { tierFiles: new Map([[tierFileVersion(file), file]]), models: new Map([[model.version, model]]) };
  const lines = texts.map((text) => Buffer.from(text));
  const at = (i: number): Buffer => lines[i] as Buffer;
  const all = rateOf((i) => verifyRequest(read(at(i)), versions));
  const checked = rateOf((i) => read(at(i)));
  const parsed = rateOf((i) => parseJson(at(i)));
  const events = lines.map(read);
  const verified = rateOf((i) => verifyRequest(events[i] as Completion, versions));
  const wrong = events.filter((event) => verifyRequest(event, versions).kind !== "same").length;
  const sum = (of: (event: Completion) => number): string => (events.reduce((total, event) => total + of(event), 0) / EVENTS).toFixed(2);
  const bytes = lines.reduce((total, line) => total + line.length, 0) / EVENTS;
  const told = (rate: number): string => `${rate.toFixed(0)} requests/s (${(1e6 / rate).toFixed(1)} µs)`;
  process.stdout.write(`${traffic}: ${EVENTS} events of ${bytes.toFixed(0)} bytes, ${sum(({ attempts }) => attempts.length)} attempts and ${sum(({ decisions }) => decisions.length)} decisions each; ${wrong} do not verify
  JSON, schema and verify   ${told(all)}
  JSON and schema           ${told(checked)}
  JSON alone                ${told(parsed)}
  verify alone              ${told(verified)}
`);
}

const [script = "", given] = process.argv.slice(1);
if (given !== undefined) measure(JSON.parse(readFileSync(given, "utf8")) as Made);
else {
  const folder = mkdtempSync(join(tmpdir(), "infer-bench-verify-"));
  for (const traffic of ["typical", "mixed"] as const) {
    const file = join(folder, `${traffic}.json`);
    writeFileSync(file, JSON.stringify(make(traffic)));
    const { status } = spawnSync(process.execPath, [...process.execArgv, script, file], { stdio: "inherit" });
    process.exitCode = status ?? 1;
  }
  rmSync(folder, { recursive: true });
}
