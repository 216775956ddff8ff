/** The replicas of a tier as one: who is called, who is left out for a while, and what is known of each. The choice itself is in `replicas.ts`. */
import type { Input } from "#shared/contracts/chat.ts";
import { mostOutputTokens, type Tier, type TierReplica } from "#shared/contracts/tiers.ts";
import type { Backend } from "#workers/backends/backend.ts";
import { BackendError } from "#workers/backends/backendError.ts";

import { type Conversation, conversationOf, switchingRatio } from "./affinity.ts";
import { type Breaker, makeBreaker } from "./breaker.ts";
import { type ConcurrencyLimit, makeConcurrencyLimit } from "./concurrencyLimit.ts";
import { afterAnswer, afterFailure, chooseReplica, type Load, loadCosts, type Peak } from "./replicas.ts";

export interface Replica extends TierReplica {
  readonly server: Backend;
}
export interface Asked {
  readonly tenantId: string;
  readonly input: Input;
  /** Names of those that have failed on this attempt. */
  readonly avoid: ReadonlySet<string>;
}
export interface Balanced {
  /** Runs it with one of the replicas. Fails at once with a `BackendError` while none may be called. */
  call<T>(asked: Asked, run: (replica: Replica) => Promise<T>): Promise<T>;
  /** Runs it with this one and no other. Fails at once with a `BackendError` while its breaker lets nothing through. */
  callAgain<T>(replica: Pick<Replica, "name">, run: () => Promise<T>): Promise<T>;
  /** Whether one that is not among `tried` may be called now. */
  hasOther(tried: ReadonlySet<string>): boolean;
  /** Open only while all are; half open when a trial runs and no other may be called. */
  state(): ReturnType<Breaker["state"]>;
  /** Of all that are open: each has its trial call now. */
  resetBreakers(): void;
  loads(): readonly Load[];
  /** Calls that all of them take at once, as far as is known: from 1 to the tier's slots. */
  limit(): number;
  close(): Promise<void>;
}
export interface BalancedOptions {
  readonly onChange: () => void;
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly observe: { readonly called: (replica: string) => void; readonly ejected: (replica: string) => void };
}

/** A replica that fails again and again is left out for up to this many times `open_for_ms`. */
const MOST_GROWTH = 10;

interface Entry {
  readonly replica: Replica;
  readonly breaker: Breaker;
  readonly concurrency: ConcurrencyLimit;
  outstanding: number;
  peak: Peak;
}

/** `replicas`: one at least. */
export function balanced(tier: Pick<Tier, "slots" | "breaker" | "prior" | "affinity_max_cost_ratio">, replicas: readonly Replica[], { onChange, now, random, observe }: BalancedOptions): Balanced {
  const isOne = replicas.length === 1;
  const priorMs = tier.prior.latency_p50_ms;
  const entries = new Map(replicas.map((replica): [string, Entry] => {
    const changed = () => {
      if (breaker.state().breaker === "open") observe.ejected(replica.name);
      onChange();
    };
    const breaker = makeBreaker(tier.breaker, changed, now, isOne ? {} : { mostGrowth: MOST_GROWTH });
    return [replica.name, { replica, breaker, concurrency: isInProcess(replica) ? noLimit(tier.slots) : makeConcurrencyLimit(tier.slots), outstanding: 0, peak: null }];
  }));
  const loadOf = ({ replica: { name }, outstanding, peak }: Entry): Load => ({ name, outstanding, peak });
  const callable = () => [...entries.values()].filter(({ breaker }) => mayCall(breaker));

  const choose = ({ tenantId, input, avoid }: Asked): Entry | undefined => {
    if (isOne) return [...entries.values()][0]; // its breaker says why not
    const able = withRoom(callable());
    const costs = loadCosts(able.map(loadOf), performance.now(), priorMs);
    const conversation = conversationOf(tenantId, input);
    const affinity = conversation === null ? null : { key: conversation.key, maxCostRatio: (home: string) => tier.affinity_max_cost_ratio * lossOf(conversation, home) };
    return entries.get(chooseReplica({ costs, avoid, affinity, draws: [random(), random()] }) ?? "");
  };
  const lossOf = (conversation: Conversation, home: string): number => {
    const replica = entries.get(home)?.replica;
    return replica === undefined ? 1 : switchingRatio(replica.price, conversation, expectedOutput(replica));
  };

  const callAt = <T>(entry: Entry, run: (replica: Replica) => Promise<T>): Promise<T> => entry.breaker.call(() => {
    observe.called(entry.replica.name);
    return measured(entry, () => run(entry.replica), priorMs);
  });

  return {
    async call(asked, run) {
      const entry = choose(asked);
      if (entry === undefined) throw new BackendError("backend_unavailable", "the circuit breakers of all replicas of this tier are open");
      return callAt(entry, run);
    },
    async callAgain({ name }, run) {
      const entry = entries.get(name);
      if (entry === undefined) throw new Error(`this tier has no replica ${name}`);
      return callAt(entry, run);
    },
    hasOther: (tried) => callable().some(({ replica }) => !tried.has(replica.name)),
    state: () => stateOf([...entries.values()].map(({ breaker }) => breaker.state())),
    resetBreakers() { for (const { breaker } of entries.values()) breaker.reset(); },
    loads: () => [...entries.values()].map(loadOf),
    limit: () => Math.min(tier.slots, [...entries.values()].reduce((sum, { concurrency }) => sum + concurrency.limit(), 0)),
    async close() {
      await Promise.all(replicas.map(({ server }) => server.close()));
    },
  };
}

/** A model in this process takes what it is given. */
const isInProcess = ({ backend: { kind } }: Replica): boolean => kind === "local" || kind === "onnx";
const noLimit = (slots: number): ConcurrencyLimit => ({ limit: () => slots, answered: () => undefined, pushedBack: () => undefined });

/** Those that take another call, as far as is known; all where none does, since each may be wrong. */
function withRoom(able: readonly Entry[]): readonly Entry[] {
  const found = able.filter(({ outstanding, concurrency }) => outstanding < concurrency.limit());
  return found.length === 0 ? able : found;
}

/** Closed, or due for its trial call. */
function mayCall(breaker: Breaker): boolean {
  const { breaker: state, retry_in_ms } = breaker.state();
  return state === "closed" || (state === "open" && retry_in_ms === 0);
}

/** Half of what it may generate, as the router expects it. */
const expectedOutput = ({ backend }: Replica): number => Math.ceil(mostOutputTokens(backend) / 2);

async function measured<T>(entry: Entry, run: () => Promise<T>, priorMs: number): Promise<T> {
  entry.outstanding++;
  const startedAtMs = performance.now();
  try {
    const value = await run();
    entry.peak = afterAnswer(entry.peak, performance.now() - startedAtMs, performance.now());
    entry.concurrency.answered(performance.now() - startedAtMs);
    return value;
  } catch (error) {
    if (error instanceof BackendError && error.isPushback) entry.concurrency.pushedBack({ startedAtMs, nowMs: performance.now() });
    entry.peak = afterFailure(entry.peak, performance.now() - startedAtMs, performance.now(), priorMs);
    throw error;
  } finally {
    entry.outstanding--;
  }
}

/** Pure. */
function stateOf(states: readonly ReturnType<Breaker["state"]>[]): ReturnType<Breaker["state"]> {
  const best = states.find(({ breaker }) => breaker === "closed") ?? states.find(({ breaker }) => breaker === "half_open");
  return best ?? { breaker: "open", retry_in_ms: Math.min(...states.map(({ retry_in_ms }) => retry_in_ms)) };
}
