/**
 * A process that asks one target, and prints what it saw as JSON. Argument: a `Load` as JSON.
 *
 * Closed loop: each connection asks again as soon as it has its answer. Open loop (`per_s`): requests begin at their times whatever became of those
 * before them, and latency counts from that time, so that a target that stalls is not spared the requests that it kept away.
 */
import { Pool } from "undici";

export interface Load {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly seconds: number;
  readonly connections: number;
  /** Absent: closed loop. */
  readonly per_s?: number;
}
export interface Seen {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** What the first refusal or failure said. */
  readonly first_error: string | null;
}

const load = JSON.parse(process.argv[2] ?? "") as Load;
const { origin, pathname } = new URL(load.url);
const pool = new Pool(origin, { connections: load.connections, pipelining: 1 });
const latenciesMs: number[] = [];
let errors = 0;
let firstError: string | null = null;
const failed = (why: string): void => {
  errors++;
  firstError ??= why;
};

async function ask(fromMs: number): Promise<void> {
  try {
    const { statusCode, body } = await pool.request({ path: pathname, method: "POST", headers: { ...load.headers }, body: load.body });
    if (statusCode !== 200) {
      failed(`${statusCode}: ${(await body.text()).slice(0, 300)}`);
      return;
    }
    await body.dump();
    latenciesMs.push(performance.now() - fromMs);
  } catch (error) {
    failed(String(error));
  }
}

async function closedLoop(untilMs: number): Promise<void> {
  const one = async () => { while (performance.now() < untilMs) await ask(performance.now()); };
  await Promise.all(Array.from({ length: load.connections }, one));
}

async function openLoop(startMs: number, untilMs: number, perS: number): Promise<void> {
  const asked: Promise<void>[] = [];
  for (let i = 0; ; i++) {
    const atMs = startMs + (i * 1_000) / perS;
    if (atMs >= untilMs) break;
    const waitMs = atMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    asked.push(ask(atMs));
  }
  await Promise.all(asked);
}

const quantile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;

const startMs = performance.now();
const untilMs = startMs + load.seconds * 1_000;
if (load.per_s === undefined) await closedLoop(untilMs);
else await openLoop(startMs, untilMs, load.per_s);
const seconds = (performance.now() - startMs) / 1_000;
latenciesMs.sort((a, b) => a - b);
process.stdout.write(`${JSON.stringify({ requests: latenciesMs.length, errors, seconds, p50_ms: quantile(latenciesMs, 0.5), p99_ms: quantile(latenciesMs, 0.99), first_error: firstError } satisfies Seen)}\n`);
await pool.destroy();
