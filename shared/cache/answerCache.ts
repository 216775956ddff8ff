/**
 * Kept answers in Redis, one key per canonical request of a tenant, and beside each who runs it now, and under its question's form
 * where the latest answer to any of that form lies (ADR 0019): that is a name, and the answer is kept once. A cache and nothing else:
 * whatever is wrong with Redis is a miss, never an error, and costs a request 50 ms at most.
 */
import type { Redis } from "ioredis";
import { z } from "zod";

import type { Completion } from "#shared/contracts/events.ts";
import { EpochMs, type InferenceRequest } from "#shared/contracts/request.ts";
import { RequestId } from "#shared/contracts/ids.ts";

import { answerOf, CachedAnswer, type Unshared, whyUnshared } from "./cachedAnswer.ts";
import type { CachePlan } from "./cachePlan.ts";
import { makeMemoryGate } from "./memoryGate.ts";
import { seal, SEAL_LENGTH, unseal } from "./sealed.ts";

/** The request whose answer all others that ask the same wait for. */
const Leader = z.object({ request_id: RequestId, deadline_at_ms: EpochMs, /** Absent: of an older version. */ traceparent: z.string().max(55).optional() });
export type Leader = z.infer<typeof Leader>;

export type Taken =
  /** `use`: to the very same question, or to one that asks the same in other words. */
  | { readonly kind: "hit"; readonly answer: CachedAnswer; readonly use: "exact" | "semantic" }
  /** Nobody runs it: this request does, and all others wait for it. */
  | { readonly kind: "lead" }
  | { readonly kind: "follow"; readonly leader: Leader }
  /** Nothing is kept, and this request was not to lead; or Redis does not answer. */
  | { readonly kind: "none" };
export interface TakeOptions {
  /** Makes the request the leader where there is none. `forMs`: of its lease. Absent: just looks. */
  readonly lead?: { readonly leader: Leader; readonly forMs: number };
  /** A leader that ended without an answer for others, or is gone: it counts as none. */
  readonly lapsed?: Leader | undefined;
}
/** Why an answer was not kept: labels of a metric. */
export type NotKept = Unshared | "too_large" | "memory" | "unavailable";
export interface CacheObserver {
  kept(): void;
  notKept(why: NotKept): void;
  /** What lay in Redis was not ours. */
  forged(): void;
  /** Redis did not answer, or not in time. */
  unavailable(): void;
}

export interface AnswerCache {
  take(tenantId: string, plan: Pick<CachePlan, "key" | "maxAgeMs"> & Partial<Pick<CachePlan, "semanticKey" | "readsSemantic">>, options?: TakeOptions): Promise<Taken>;
  /** The leader was accepted: its lease holds so long. */
  hold(tenantId: string, key: string, leader: Leader, forMs: number): Promise<void>;
  /** The leader has ended. `lingerMs`: who comes meanwhile still finds its outcome. */
  release(tenantId: string, key: string, leader: Pick<Leader, "request_id">, lingerMs: number): Promise<void>;
  /** Keeps the answer of a request that may have one kept, and ends its lead. Never throws. */
  keep(request: InferenceRequest, stored: Completion): Promise<void>;
}
export interface AnswerCacheDeps {
  readonly redis: Pick<Redis, "status" | "eval" | "info">;
  readonly prefix: string;
  /** What is kept is sealed with it. */
  readonly sealKey: Buffer;
  readonly observe: CacheObserver;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

const PATIENCE_MS = 50;
/** A Redis that was too slow is left alone for so long. */
const REST_MS = 250;
/** Of JSON. Longer answers are rare, and would push out many. */
export const MOST_ANSWER_BYTES = 64 * 1024;

/**
 * KEYS: answer, leader, form or none. ARGV: leader to be or "", its milliseconds, lapsed leader or "", "1" to pass over the answer,
 * what all keys of the tenant begin with, and where in what lies under the form its key begins. That one is in the same slot.
 */
const TAKE = `
if ARGV[4] ~= '1' then
  local answer = redis.call('GET', KEYS[1])
  if answer then return {'exact', answer, ''} end
  local named = KEYS[3] and redis.call('GET', KEYS[3])
  local other = named and redis.call('GET', ARGV[5] .. string.sub(named, ARGV[6]))
  if other then return {'semantic', other, named} end
end
local leader = redis.call('GET', KEYS[2])
if leader and leader ~= ARGV[3] then return {'follow', leader, ''} end
if ARGV[1] == '' then return {'none', '', ''} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'lead', '', ''}`;
/** KEYS: leader. ARGV: leader, milliseconds. Also where the lease has run out. */
const HOLD = `
local leader = redis.call('GET', KEYS[1])
if not leader or leader == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end`;
const IF_LED_BY = `
local leader = redis.call('GET', KEYS[#KEYS])
if leader and string.find(leader, '"request_id":"' .. ARGV[1] .. '"', 1, true) then`;
/** KEYS: leader. ARGV: request id, milliseconds. */
const RELEASE = `${IF_LED_BY}
  if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end`;
/** KEYS: answer, form or none, leader. ARGV: request id, answer, milliseconds, what lies under the form. */
const KEEP = `
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if #KEYS == 3 then redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3]) end
${IF_LED_BY} redis.call('DEL', KEYS[#KEYS]) end`;

const Reply = z.tuple([z.enum(["exact", "semantic", "follow", "lead", "none"]), z.string(), z.string()]);
const NONE = ["none", "", ""] as const;

/** What all keys of a tenant begin with: all in one slot of a cluster. */
export const cacheKeysOf = (prefix: string, tenantId: string): string => `${prefix}:cache:{${tenantId}}:`;

export function makeAnswerCache({ redis, prefix, sealKey, observe, now }: AnswerCacheDeps): AnswerCache {
  const gate = makeMemoryGate(() => redis.info("memory"), () => performance.now());
  const homeOf = (tenantId: string) => cacheKeysOf(prefix, tenantId);
  const placesOf = (tenantId: string, key: string) => ({ answer: `${homeOf(tenantId)}${key}`, leader: `${homeOf(tenantId)}${key}:leader` });
  const formPlace = (tenantId: string, semanticKey: string) => `${homeOf(tenantId)}${semanticKey}:form`;
  let restsUntilMs = 0;
  /** `null`: Redis does not answer. */
  const ask = async (script: string, keys: readonly string[], ...values: readonly (string | number)[]): Promise<{ readonly reply: unknown } | null> => {
    if (redis.status === "ready" && performance.now() >= restsUntilMs) {
      try {
        return { reply: await within(PATIENCE_MS, redis.eval(script, keys.length, ...keys, ...values)) };
      } catch (error) {
        if (error === TOO_LATE) restsUntilMs = performance.now() + REST_MS;
      }
    }
    observe.unavailable();
    return null;
  };
  const read = <T>(schema: z.ZodType<T>, place: string, sealed: string): T | null => {
    const text = unseal(sealKey, place, sealed);
    if (text === null) observe.forged();
    return text === null ? null : (schema.safeParse(jsonOf(text)).data ?? null);
  };
  /** Where the answer lies that was found under a form; `null`: not by our word. */
  const placeNamed = (tenantId: string, form: string, sealed: string): string | null => {
    const key = unseal(sealKey, form, sealed);
    if (key === null) observe.forged();
    return key === null ? null : placesOf(tenantId, key).answer;
  };
  const sealedLeader = (place: string, { request_id, deadline_at_ms, traceparent }: Leader) => seal(sealKey, place, JSON.stringify({ request_id, deadline_at_ms, traceparent }));

  return {
    async take(tenantId, { key, maxAgeMs, semanticKey = null, readsSemantic = false }, { lead, lapsed } = {}) {
      const places = placesOf(tenantId, key);
      const form = semanticKey !== null && readsSemantic ? formPlace(tenantId, semanticKey) : null;
      const values = [lead === undefined ? "" : sealedLeader(places.leader, lead.leader), lead?.forMs ?? 0, lapsed === undefined ? "" : sealedLeader(places.leader, lapsed)] as const;
      const look = async (passesOver: "0" | "1") => Reply.safeParse((await ask(TAKE, [places.answer, places.leader, ...(form === null ? [] : [form])], ...values, passesOver, homeOf(tenantId), SEAL_LENGTH + 1))?.reply).data ?? NONE;
      const first = await look("0");
      let [kind, sealed] = first;
      if (kind === "exact" || kind === "semantic") {
        const place = kind === "exact" || form === null ? places.answer : placeNamed(tenantId, form, first[2]);
        const answer = place === null ? null : read(CachedAnswer, place, sealed);
        if (answer?.tenant_id === tenantId && now() - answer.stored_at_ms <= maxAgeMs) return { kind: "hit", answer, use: kind };
        [kind, sealed] = await look("1");
      }
      if (kind === "exact" || kind === "semantic") return { kind: "none" };
      if (kind !== "follow") return { kind };
      const leader = read(Leader, places.leader, sealed);
      return leader === null ? { kind: "none" } : { kind, leader };
    },
    async hold(tenantId, key, leader, forMs) {
      const place = placesOf(tenantId, key).leader;
      await ask(HOLD, [place], sealedLeader(place, leader), Math.max(1, forMs));
    },
    async release(tenantId, key, { request_id }, lingerMs) {
      await ask(RELEASE, [placesOf(tenantId, key).leader], request_id, lingerMs);
    },
    async keep(request, stored) {
      if (request.cache === undefined) return;
      const { key, semantic_key, ttl_s } = request.cache;
      const answer = answerOf(stored);
      if (answer === null) {
        observe.notKept(whyUnshared(stored) ?? "unsound");
        return;
      }
      const places = placesOf(request.tenant_id, key);
      const text = JSON.stringify(answer);
      const bytes = Buffer.byteLength(text);
      const keepAt = async (form: string | null): Promise<boolean> =>
        (await ask(KEEP, [places.answer, ...(form === null ? [] : [form]), places.leader], request.request_id, seal(sealKey, places.answer, text), ttl_s * 1_000, form === null ? "" : seal(sealKey, form, key))) !== null;
      if (bytes > MOST_ANSWER_BYTES) observe.notKept("too_large");
      else if (!(await gate(bytes))) observe.notKept("memory");
      else if (!(await keepAt(semantic_key === undefined ? null : formPlace(request.tenant_id, semantic_key)))) observe.notKept("unavailable");
      else observe.kept();
    },
  };
}

/** Without a secret anybody can seal what is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const TOO_LATE = new Error("Redis took too long");
const SLICES = 5;
/** Only time in which this process was there to take a reply counts: a reply may have come while it was busy. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const sliceMs = ms / SLICES;
    const wait = (left: number, most: number) => {
      const startedAt = performance.now();
      timer = setTimeout(() => setImmediate(() => {
        const wasBusy = performance.now() - startedAt > 2 * sliceMs;
        if (most <= 1 || (left <= 1 && !wasBusy)) reject(TOO_LATE);
        else wait(wasBusy ? left : left - 1, most - 1);
      }), sliceMs);
    };
    wait(SLICES, 4 * SLICES);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
