/** `inferctl tenants erase` and `erasures`. */
import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import type { ErasureReply } from "#shared/contracts/erasure.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { InferBody } from "#shared/contracts/request.ts";
import { askErasure, listErasures, plannedErasure } from "#shared/erasure/askErasure.ts";
import { countKeys, eraseKeys } from "#shared/erasure/eraseKeys.ts";
import { countRows, eraseRows, noteDone } from "#shared/erasure/eraseRows.ts";
import type { Erasure } from "#shared/erasure/erasures.ts";
import { longestMaxAgeMs } from "#shared/messaging/topology.ts";
import type { Rights } from "#shared/tenancy/database.ts";

import { type CliContext, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { openRedis } from "../redis.ts";
import { serverUrl } from "../serverUrl.ts";
import { textTable } from "../textTable.ts";

const ACTOR = { kind: "inferctl" } as const;
type Counts = Readonly<Record<string, number>>;

/** Says what it will take; with `--yes` does it, and again whatever an interrupted one has left. */
export async function eraseTenant(tenantId: string, { values }: Pick<ParsedArguments, "values">, context: CliContext, rights: Rights): Promise<number> {
  const { environment, progress } = context;
  const say = sayer({ values }, context);
  const userId = userOf(values["user"]);
  if (!TenantId.safeParse(tenantId).success) throw wrongUse("tenants", `${tenantId} is no id of a tenant`);
  const { prefix, completionsMaxAgeMs } = readSettings(environment, openHome(environment));
  const who = userId === null ? `tenant ${tenantId}` : `user ${JSON.stringify(userId)} of tenant ${tenantId}`;
  const signal = new AbortController().signal; // Ctrl-C ends the process: what is done is done, and the next one goes on
  const { pool } = rights;

  if (values["yes"] !== true || values["dry-run"] === true) {
    const planned = await plannedErasure(rights, tenantId, userId);
    const counts = { ...(await countRows(pool, planned, userId)), ...(await onRedis(context, (redis) => countKeys(redis, prefix, planned, signal))) };
    const isDry = values["dry-run"] === true;
    say({ dry_run: true, tenant_id: tenantId, counts }, `${who}:\n${countLines(counts)}\n\nNothing was changed. ${isDry ? "" : "It cannot be undone: "}add --yes to erase it.`);
    if (!isDry) throw wrongUse("tenants", `erasing ${who} cannot be undone: add --yes`);
    return 0;
  }
  const { erasure } = await askErasure(rights, ACTOR, { tenantId, userId, streamsMaxAgeMs: longestMaxAgeMs(prefix, completionsMaxAgeMs) });
  await progress.step(`erasing ${who}`, async () => {
    const rows = await eraseRows(pool, erasure, { signal, onProgress: (table, count) => { progress.tell?.(`${table}: ${count}`); } });
    await noteDone(pool, erasure, "rows", rows);
    const keys = await onRedis(context, (redis) => eraseKeys(redis, prefix, erasure, signal));
    if (keys !== null) await noteDone(pool, erasure, "keys", keys);
  });
  const done = (await listErasures(rights, tenantId)).find(({ erasure: { subject } }) => subject === erasure.subject)?.reply;
  if (done === undefined) throw new Error("the erasure is not in the list"); // it was just written
  say(done, describe(who, done, erasure));
  return 0;
}

function userOf(value: unknown): string | null {
  if (value === undefined) return null;
  const parsed = InferBody.shape.user_id.safeParse(value);
  if (!parsed.success) throw wrongUse("tenants", "--user is no id of a user");
  return parsed.data;
}

/** `null`: Redis cannot be reached, or does not let this login delete: a router does it within seconds. */
async function onRedis(context: CliContext, use: (redis: Awaited<ReturnType<typeof openRedis>>) => Promise<Counts>): Promise<Counts | null> {
  try {
    const redis = await openRedis(serverUrl("redis", context.environment, openHome(context.environment)));
    try {
      return await use(redis);
    } finally {
      redis.disconnect();
    }
  } catch {
    return null;
  }
}

const countLines = (counts: Counts): string => (Object.keys(counts).length === 0 ? "  nothing" : textTable(["where", "rows or keys"], Object.entries(counts).map(([what, count]) => [what, String(count)])));

const describe = (who: string, { keys_done_at, streams_clear_at, counts }: ErasureReply, { subject }: Erasure): string => [
  `${who} was erased:`, countLines(counts), "",
  ...(subject === "" ? [] : [`In the books it is ${subject}.`]),
  keys_done_at === null ? "Keys in Redis could not be deleted from here: a router does it within seconds (see: inferctl tenants erasures)." : "Keys in Redis are gone.",
  `By ${streams_clear_at} the last of it has left the streams by its age; until then nothing of it is given to anybody.`,
].join("\n");

export async function printErasures(tenantId: string | undefined, { values }: Pick<ParsedArguments, "values">, context: Pick<CliContext, "print">, rights: Rights): Promise<number> {
  const erasures = (await listErasures(rights, tenantId ?? null)).map(({ reply }) => reply);
  const rows = erasures.map(({ tenant_id, subject, asked_at, rows_done_at, keys_done_at, streams_clear_at }) => [tenant_id, subject ?? "all", asked_at, rows_done_at ?? "not yet", keys_done_at ?? "not yet", streams_clear_at]);
  sayer({ values }, context)({ erasures }, rows.length === 0 ? "nobody was erased" : textTable(["tenant", "who", "asked for", "rows gone", "keys gone", "streams clear"], rows));
  return 0;
}
