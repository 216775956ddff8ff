/**
 * The demo on a set-up that runs: makes its tenants, sends the plan, waits until the books have all of it, and compares what
 * callers were told with what is in the books. Repeated, it runs nothing twice: the ids of a run are always the same.
 */
import { SetupError } from "#infra/embedded/setupError.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { connectInferClient, type InferClient, isInferError } from "#producers/client/inferClient.ts";
import type { CreatedKey } from "#shared/contracts/apiKey.ts";
import type { Rights } from "#shared/tenancy/database.ts";
import { createKey, listKeys, revokeKey } from "#shared/tenancy/keys.ts";

import { countBooked, judgedAmong, latestRun, readBooked } from "./demoBooks.ts";
import { type DemoFigures, demoFigures } from "./demoResult.ts";
import { DEMO_TENANTS, type DemoTenant, makeDemoTenants } from "./demoTenants.ts";
import { type DemoPlan, type PlannedRequest, planDemo } from "./planDemo.ts";
import { isOtherPlan, type SeenRequest, sendDemo } from "./sendDemo.ts";

export interface DemoOptions extends Omit<DemoPlan, "run"> {
  /** Absent: the last one, if it is not whole; or else the next. */
  readonly run?: number | undefined;
  readonly gatewayUrl: string;
  readonly rights: Rights;
  /** What keys are made with, where the gateway asks for them; `null`: it asks for none. */
  readonly pepper: Buffer | null;
  readonly concurrency: number;
  readonly ratePerS: number;
  readonly onNote: (line: string) => void;
  readonly onAnswer: (seen: readonly SeenRequest[], planned: number) => void;
}
export interface DemoRun extends DemoFigures {
  readonly run: number;
  readonly asked: number;
  /** Of these, what was there before. */
  readonly already_there: number;
  readonly elapsed_ms: number;
  /** Of what was not there before; `null`: all was. */
  readonly requests_per_second: number | null;
}

/** A caller asks again with the same id until then. */
const PATIENCE_MS = 180_000;
const MOST_TRIES = 60;
/** The audit sink writes in batches, after the answers. */
const BOOKS_DEADLINE_MS = 60_000;
const ACTOR = { kind: "inferctl" } as const;
const KEY_NAME = "inferctl demo";
const KEY_LIVES_MS = 86_400_000;

/** Throws a `SetupError`. */
export async function runDemo(options: DemoOptions): Promise<DemoRun> {
  const { rights, onNote } = options;
  await makeDemoTenants(rights);
  const run = options.run ?? (await nextRun(options));
  const planned = planDemo({ ...options, run });
  const ids = planned.map(({ body }) => body.request_id);
  const alreadyThere = await countBooked(rights, ids);
  onNote(thereText(run, alreadyThere, ids.length));
  const startedMs = performance.now();
  const seen = await withClients(options, async (clientOf) => send(planned, clientOf, await judgedAmong(rights, ids), options));
  const elapsedMs = performance.now() - startedMs;
  const fresh = planned.length - alreadyThere;
  await allBooked(rights, ids).catch((error: unknown) => { onNote(error instanceof Error ? error.message : String(error)); });
  return {
    run, asked: planned.length, already_there: alreadyThere, elapsed_ms: Math.round(elapsedMs),
    requests_per_second: fresh === 0 ? null : Math.round((10_000 * fresh) / elapsedMs) / 10,
    ...demoFigures(seen, await readBooked(rights, ids), options.tiers.baseline_tier),
  };
}

async function nextRun({ rights, name, seed, requests }: DemoOptions): Promise<number> {
  const latest = await latestRun(rights, { name, seed });
  if (latest === null) return 1;
  return latest.requests < requests ? latest.run : latest.run + 1;
}

function thereText(run: number, there: number, all: number): string {
  if (there === 0) return `run ${run}: ${all} requests`;
  return there >= all ? `run ${run}: all ${all} requests are there already, nothing is run again` : `run ${run}: ${there} of ${all} requests are there already; going on with the others`;
}

const allBooked = (rights: Rights, ids: readonly string[]): Promise<true> => {
  let booked = 0;
  return waitUntil(async () => {
    booked = await countBooked(rights, ids);
    return booked >= ids.length ? true : undefined;
  }, { deadlineMs: BOOKS_DEADLINE_MS, everyMs: 200, describe: () => `the books have ${booked} of ${ids.length} requests so far: the figures are of these` });
};

async function send(planned: readonly PlannedRequest[], clientOf: (tenant: DemoTenant) => InferClient, judged: ReadonlySet<string>, { concurrency, ratePerS, onAnswer }: DemoOptions): Promise<SeenRequest[]> {
  try {
    return await sendDemo(planned, { clientOf, concurrency, ratePerS, judged, onAnswer: (seen) => { onAnswer(seen, planned.length); } });
  } catch (error) {
    if (isOtherPlan(error)) throw new SetupError("a request of this run is there already with another content: tiers, prices or items have changed since", "Begin another run: inferctl demo --run <a number that was not used>", { cause: error });
    if (isInferError(error, "unauthenticated")) throw new SetupError("the gateway asks for API keys", "Set INFER_AUTH=keys as `inferctl up` had it: then the demo makes keys for its tenants, which end with it.", { cause: error });
    if (!isInferError(error)) throw error;
    throw new SetupError(`the gateway gives no outcome: ${error.code}: ${error.message}`, "See inferctl status and inferctl logs; the same command goes on where this one ended.", { cause: error });
  }
}

/** One for each tenant, with a key of its own where keys are asked for; the keys end with it. */
async function withClients<T>({ gatewayUrl, rights, pepper }: DemoOptions, use: (clientOf: (tenant: DemoTenant) => InferClient) => Promise<T>): Promise<T> {
  const clients = new Map<DemoTenant, InferClient>();
  const keys: { readonly tenant: DemoTenant; readonly keyId: string }[] = [];
  try {
    for (const tenant of DEMO_TENANTS) {
      const key = pepper === null ? null : await makeKey(rights, pepper, tenant);
      if (key !== null) keys.push({ tenant, keyId: key.key_id });
      clients.set(tenant, await connectInferClient({ url: gatewayUrl, tenantId: tenant, timeoutMs: PATIENCE_MS, maxTries: MOST_TRIES, ...(key === null ? {} : { apiKey: key.key }) }));
    }
    return await use((tenant) => clients.get(tenant) ?? noClient(tenant));
  } finally {
    await Promise.all([...clients.values()].map((client) => client.close()));
    for (const { tenant, keyId } of keys) await revokeKey(rights, ACTOR, tenant, keyId);
  }
}

/** In place of what a demo that was interrupted has left. */
async function makeKey(rights: Rights, pepper: Buffer, tenant: DemoTenant): Promise<CreatedKey> {
  const left = (await listKeys(rights, tenant)).filter(({ name, revoked_at }) => name === KEY_NAME && revoked_at === null);
  for (const { key_id } of left) await revokeKey(rights, ACTOR, tenant, key_id);
  return createKey(rights, ACTOR, pepper, tenant, { role: "infer", name: KEY_NAME, expires_at: new Date(Date.now() + KEY_LIVES_MS).toISOString() });
}

function noClient(tenant: string): never {
  throw new Error(`${tenant} has no client`);
}
