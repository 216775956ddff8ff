/** `npm run bench:doors`: the same requests over HTTP, over NATS and replayed live; are they decided alike? */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpus } from "node:os";
import { parseArgs } from "node:util";

import { connectBroker } from "#infra/e2e/callers.ts";
import { startModelServer } from "#infra/e2e/modelServer.ts";
import { jsonIn, startSystem } from "#infra/e2e/system.ts";
import { connectInferClient, type InferClient, isInferError } from "#producers/client/inferClient.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";

import { compareDoors, type DoorCase } from "./compareDoors.ts";
import { type Asked, requestsOf, TENANT, TIERS } from "./doorsWorld.ts";

const HELP = `Sends the same requests by all doors to a system that it starts itself, with models that do what the prompt says, and compares the decision records.

  npm run bench:doors -- [--requests <n>] [--concurrency <n>] [--seed <n>] [--json]

  --requests      by each door (default 10000)
  --concurrency   at once (default 64)
  --seed          of what is asked (default 1)

Records are compared apart from ids, times and live inputs (queue, latencies, breaker, workers, chances to be on time); then the replayed ones are decided again
with the live inputs of the recorded ones, and compared value for value. Ends with 1 when one differs.`;

const { values } = parseArgs({ options: { requests: { type: "string", default: "10000" }, concurrency: { type: "string", default: "64" }, seed: { type: "string", default: "1" }, json: { type: "boolean" }, help: { type: "boolean" } } });
const note = (line: string): void => { process.stderr.write(`  ${line}\n`); };

async function main(): Promise<void> {
  const asked = requestsOf(Number(values.requests), Number(values.seed));
  const concurrency = Number(values.concurrency);
  const models = await startModelServer();
  const system = await startSystem({ tiers: { serverUrl: models.url, tiers: TIERS } });
  try {
    const broker = await connectBroker(system.url("nats"));
    const lastSeq = async () => (await broker.jsm.streams.info("COMPLETIONS")).state.last_seq;
    const [byHttp, byNats] = [await connectInferClient({ url: system.url("gateway"), maxTries: 1 }), await connectInferClient({ url: system.url("nats"), maxTries: 1 })];
    const from = (await lastSeq()) + 1;
    note(`${asked.length} over HTTP`);
    await askAll(byHttp, "http", asked, concurrency);
    const to = await lastSeq();
    note(`${asked.length} over NATS`);
    await askAll(byNats, "nats", asked, concurrency);
    note(`${asked.length} replayed live`);
    const live = jsonIn(await printedBy(system.start("replay", "--mode", "live", "--from-seq", String(from), "--to-seq", String(to), "--max", "--concurrency", String(concurrency), "--run", "doors", "--confirm", `${asked.length} requests`, "--json")));
    note("comparing");
    const find = (id: string): Promise<Completion> => broker.completion(TENANT, id);
    const cases: DoorCase[] = [];
    for (const { request_id: id } of asked) {
      const [http, nats, replayed] = await Promise.all([find(`http-${id}`), find(`nats-${id}`), find(`replay-doors-http-${id}`)]);
      cases.push({ http, nats, replayed });
    }
    const store = await openTierFileStore(broker.nats, "infer");
    const tierFiles = new Map<string, TierFile | null>();
    for (const version of new Set(cases.flatMap(({ http }) => http.decisions.flatMap(({ tier_file }) => tier_file ?? [])))) {
      const found = await store.get(version);
      tierFiles.set(version, found !== null && "file" in found ? found.file : null);
    }
    const findings = compareDoors(cases, { tierFiles, models: new Map() });
    await Promise.all([byHttp.close(), byNats.close(), broker.close()]);
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? "?"}, Node ${process.versions.node}`;
    if (values.json === true) process.stdout.write(`${JSON.stringify({ machine, ...findings, live })}\n`);
    else {
      process.stdout.write([
        machine,
        `${findings.requests} requests by each door, ${findings.decisions} decisions and ${findings.attempts} attempts of them`,
        `apart from ids, times and live inputs: ${findings.differing.nats} differ over NATS, ${findings.differing.replayed} replayed`,
        `with live inputs pinned: ${findings.same_pinned} decided again value for value, ${findings.differing_pinned} differ; of ${findings.live_inputs_differed} some live input was another`,
        ...(findings.first === null ? [] : [findings.first]),
      ].map((line) => `${line}\n`).join(""));
    }
    process.exitCode = findings.differing.nats + findings.differing.replayed + findings.differing_pinned === 0 ? 0 : 1;
  } finally {
    await system.remove();
    await models.close();
  }
}

/** Its results; what it tells goes on. That requests failed is an outcome, too, so any exit code will do. */
async function printedBy(child: ChildProcess): Promise<string> {
  child.stderr?.pipe(process.stderr, { end: false });
  const chunks: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => { chunks.push(chunk); });
  await once(child, "close");
  return Buffer.concat(chunks).toString();
}

async function askAll(client: InferClient, door: string, asked: readonly Asked[], concurrency: number): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let one = asked[next++]; one !== undefined; one = asked[next++]) {
      await client.infer({ ...one, request_id: `${door}-${one.request_id}` }).catch((error: unknown) => {
        if (!isInferError(error)) throw error; // that a request failed is an outcome, too
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
}

if (values.help === true) process.stdout.write(`${HELP}\n`);
else await main();
