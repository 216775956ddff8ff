/** Streamed chats through OpenAI's door of a system of its own, on what real models answered: are they the ones that evaluation computes? */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { startSystem } from "#infra/e2e/system.ts";
import { readRecordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { quantileOf } from "#router/evaluation/routingMetrics.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { played, type RecordedChat, readChats, tierNames, writeTiers } from "./chatWorld.ts";
import { type StreamedChat, streamChat } from "./streamedChat.ts";

const HELP = `Streams chats through a system that it starts itself, whose tiers are recorded models, and compares each with what evaluation computes.

  npm run bench:chats -- --rows <outcomes.jsonl.gz> --outputs <outputs.jsonl.gz> --tiers <a,b,c> [options]   (after npm run build)

  --rows, --outputs   as for inferctl serve-recorded; rows need tokens and costs
  --tiers             models, cheapest first; one is kept where its answer agrees with the tier's before, the last always
  --requests          how many chats of each part (default 1000)
  --concurrency       streams at once (default 32)
  --seed              of which rows, and of the faults (default 1)
  --json              one JSON document instead of the lines

Parts: escalation (every text, tier and cost against evaluation), faults (cut, stalled, garbled, truncated and slow upstream
streams: is anything presented as complete that is not?), first token (a committed tier against its server alone).
Ends with 1 when a client saw what it must not see.`;

interface Finding {
  readonly name: string;
  readonly violations: number;
  readonly example: string | null;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rows: { type: "string" }, outputs: { type: "string" }, tiers: { type: "string" }, requests: { type: "string", default: "1000" }, concurrency: { type: "string", default: "32" },
      seed: { type: "string", default: "1" }, json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
    },
  });
  if (values.help || values.rows === undefined || values.outputs === undefined || values.tiers === undefined) {
    process.stdout.write(`${HELP}\n`);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const models = values.tiers.split(",");
  const [requests, concurrency, seed] = [values.requests, values.concurrency, values.seed].map(Number) as [number, number, number];
  const { chats, prices } = await readChats(values.rows, values.outputs, models);
  const folder = mkdtempSync(join(tmpdir(), "infer-chats-"));
  const server = await startRecordedServer({ answers: await readRecordedAnswers([values.rows], [values.outputs]), faults: [], seed, timeScale: 1, firstTokenShare: 0.3, defaultLatencyMs: 100, port: 0, onBug: (error) => { note(String(error)); } });
  const system = await startSystem({ env: { INFER_OPENAI_BUDGET_USD: "10", INFER_TIERS_FILE: writeTiers(join(folder, "tiers.json"), `${server.url}/v1`, models, prices) } });
  try {
    const world: World = { gateway: `${system.url("gateway")}/v1`, server, models, chats: sampled(chats, requests, seed), concurrency };
    note(`${world.chats.length} of ${chats.length} rows`);
    const report = { seed, requests: world.chats.length, concurrency, machine: `${cpus().length} x ${cpus()[0]?.model ?? ""}, Node ${process.versions.node}`, escalation: await escalation(world), first_token: { apart: await firstToken(world, LONG_STREAM_MS / concurrency), together: await firstToken(world, 0) }, faults: await faults(world) };
    if (values.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    else describe(report);
    if ([...report.escalation.findings, ...report.faults.findings].some(({ violations }) => violations > 0)) process.exitCode = 1;
  } finally {
    await system.remove();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface World {
  readonly gateway: string;
  readonly server: RecordedServer;
  readonly models: readonly string[];
  readonly chats: readonly RecordedChat[];
  readonly concurrency: number;
}

function sampled(chats: readonly RecordedChat[], count: number, seed: number): RecordedChat[] {
  const random = seededRandom(seed);
  return chats.map((chat) => ({ chat, at: random() })).sort((a, b) => a.at - b.at).slice(0, count).map(({ chat }) => chat);
}

const TIMEOUT_MS = 120_000;
/** With `id` the gateway first looks for an earlier outcome, as for all that choose ids. */
const ask = (url: string, model: string, { query }: RecordedChat, id?: string) =>
  streamChat(url, { model, messages: [{ role: "user", content: query }], ...(id === undefined ? {} : { optimizer: { request_id: id } }) }, TIMEOUT_MS);

async function escalation({ gateway, server, models, chats, concurrency }: World) {
  const names = tierNames(models);
  const seen = await each(chats, concurrency, (chat) => ask(gateway, "auto:cascade", chat, `escalation-${chat.id}`));
  const wrong = { text: finding("texts that are not the kept tier's, whole"), tiers: finding("other tiers than evaluation tries"), cost: finding("costs that differ by more than rounding up (2 nano-dollars per attempt)"), error: finding("chats without an answer") };
  let costNano = 0, expectedUsd = 0, escalated = 0;
  for (const [i, chat] of chats.entries()) {
    const got = seen[i] as StreamedChat, expected = played(chat, models);
    if (!got.isComplete || got.optimizer == null) { wrong.error.add(`${chat.id}: ${got.error ?? "no end"}`); continue; }
    const tried = got.optimizer.attempts.map(({ tier }) => names.indexOf(tier));
    if (got.text !== chat.texts[expected.tried.at(-1) ?? -1]) wrong.text.add(chat.id);
    if (tried.join() !== expected.tried.join()) wrong.tiers.add(`${chat.id}: ${tried.join()} instead of ${expected.tried.join()}`);
    const nano = Math.round(got.optimizer.cost_usd * 1e9);
    if (Math.abs(nano - expected.cost_usd * 1e9) > 2 * tried.length) wrong.cost.add(`${chat.id}: ${nano} instead of ${expected.cost_usd * 1e9}`);
    costNano += nano;
    expectedUsd += expected.cost_usd;
    escalated += tried.length > 1 ? 1 : 0;
  }
  const bill = server.bill().total;
  return { escalated, cost_nano_usd: costNano, evaluated_cost_usd: expectedUsd, billed_nano_usd: bill.cost_nano_usd, findings: Object.values(wrong).map((one) => one.found()) };
}

/** Streams last two seconds here, as those of large models do. */
const LONG_STREAM = [{ kind: "slow", share: 1, factor: 20 }];
const LONG_STREAM_MS = 2_000;
const switchFaults = (server: RecordedServer, list: readonly object[]) =>
  fetch(`${server.url}/faults`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(list) });

/**
 * The last tier is asked for by name, so its answer is certain from the first token on. In turns, so that both see the same machine.
 * Every stream lasts the same, so they begin as far apart for ever as at first: `apartMs`, 0 for all at once.
 */
async function firstToken({ gateway, server, models, chats, concurrency }: World, apartMs: number) {
  const model = models.at(-1) ?? "";
  const perRound = 3 * concurrency;
  const direct: number[] = [], through: number[] = [];
  await switchFaults(server, LONG_STREAM);
  for (let round = 0; round < 4; round++) {
    const part = chats.slice(round * perRound, (round + 1) * perRound);
    for (const one of await each(part, concurrency, (chat) => ask(`${server.url}/v1`, model, chat), apartMs)) direct.push(one.firstTextMs ?? Infinity);
    for (const one of await each(part, concurrency, (chat) => ask(gateway, model, chat), apartMs)) through.push(one.firstTextMs ?? Infinity);
  }
  const of = (ms: number[]) => ({ p50_ms: quantileOf(ms, 0.5), p95_ms: quantileOf(ms, 0.95) });
  return { calls: through.length, direct: of(direct), through: of(through), added_p50_ms: (quantileOf(through, 0.5) ?? NaN) - (quantileOf(direct, 0.5) ?? NaN) };
}

async function faults({ gateway, server, models, chats, concurrency }: World) {
  const share = 0.12;
  const list = [{ kind: "cut", share }, { kind: "stall", share, for_ms: 60_000 }, { kind: "garble", share }, { kind: "truncate", share }, { kind: "slow", share, factor: 3 }];
  await switchFaults(server, list);
  const policies = ["auto:cascade", models.at(-1) ?? ""];
  const seen = await each(chats, concurrency, (chat, i) => ask(gateway, policies[i % 2] ?? "", chat, `faults-${chat.id}`));
  const partial = finding("answers presented as complete that are no recorded answer, whole"), silent = finding("streams that ended without an answer and without an error");
  let complete = 0, failed = 0;
  for (const [i, chat] of chats.entries()) {
    const got = seen[i] as StreamedChat;
    if (got.isComplete) {
      complete++;
      if (!chat.texts.includes(got.text)) partial.add(chat.id);
    } else {
      failed++;
      if (got.error === null) silent.add(chat.id);
    }
  }
  return { complete, failed, findings: [partial.found(), silent.found()] };
}

function finding(name: string) {
  let violations = 0, example: string | null = null;
  return {
    add(what: string): void { violations++; example ??= what; },
    found: (): Finding => ({ name, violations, example }),
  };
}

async function each<T, R>(items: readonly T[], concurrency: number, run: (item: T, i: number) => Promise<R>, apartMs = 0): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  await Promise.all(Array.from({ length: concurrency }, async (_, place) => {
    await sleep(place * apartMs);
    for (let i = next++; i < items.length; i = next++) {
      results[i] = await run(items[i] as T, i);
      if (i % 200 === 199) note(`${i + 1} of ${items.length}`);
    }
  }));
  return results;
}

type FirstToken = Awaited<ReturnType<typeof firstToken>>;
type Report = { seed: number; requests: number; concurrency: number; machine: string; escalation: Awaited<ReturnType<typeof escalation>>; first_token: Record<"apart" | "together", FirstToken>; faults: Awaited<ReturnType<typeof faults>> };
function describe({ seed, requests, concurrency, machine, escalation: up, first_token: first, faults: broken }: Report): void {
  const ms = (value: number | null) => (value ?? NaN).toFixed(1);
  const lines = (findings: readonly Finding[]) => findings.map(({ name, violations, example }) => `  ${String(violations).padStart(4)}  ${name}${example === null ? "" : ` (${example})`}`);
  const firstLine = (how: string, { calls, direct, through, added_p50_ms }: FirstToken) => `first token of a committed tier, ${calls} streams ${how}: alone p50 ${ms(direct.p50_ms)} p95 ${ms(direct.p95_ms)} ms, through the pipeline ${ms(through.p50_ms)} and ${ms(through.p95_ms)}; p50 added ${ms(added_p50_ms)}`;
  process.stdout.write([
    `${requests} chats in each part, ${concurrency} streams at once; seed ${seed}; ${machine}`,
    `escalation: ${up.escalated} escalated; paid ${(up.cost_nano_usd / 1e9).toFixed(9)} USD, evaluation ${up.evaluated_cost_usd.toFixed(9)}, billed ${(up.billed_nano_usd / 1e9).toFixed(9)}`, ...lines(up.findings),
    firstLine("begun one after the other", first.apart),
    firstLine("begun all at once", first.together),
    `faults: ${broken.complete} complete, ${broken.failed} with an explicit error or reason`, ...lines(broken.findings), "",
  ].join("\n"));
}

const note = (line: string): void => { process.stderr.write(`  . ${line}\n`); };

await main();
