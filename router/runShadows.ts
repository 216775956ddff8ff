import type { Logger } from "pino";

import { consume } from "#shared/messaging/consume.ts";
import { ensureConsumer } from "#shared/messaging/ensureTopology.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { shadowSource } from "#shared/messaging/topology.ts";
import { every, untilItWorks } from "#shared/runtime/lifecycle.ts";

import { makeShadow, type ShadowDeps } from "./shadow.ts";

/** Few: each may read and publish, and none is in a hurry. */
const CONCURRENCY = 16;
const ENSURE_EVERY_MS = 30_000;

interface Running {
  readonly js: Broker["js"];
  readonly wire: Broker["wire"];
  readonly jsm: Broker["jsm"];
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly drainMs: number;
  readonly observeRun?: Broker["observeRun"];
}

/** Runs until the signal, and never rejects: requests go on, whatever ends it. Share 0: does nothing at all, since sampling spends money. */
export async function runShadows(deps: ShadowDeps, { js, wire, jsm, log, signal, drainMs, observeRun = () => undefined }: Running): Promise<void> {
  if (deps.share === 0) return;
  const source = shadowSource(deps.prefix);
  const ensure = () => ensureConsumer(jsm, source);
  try {
    await untilItWorks({ log, signal }, `make ${source.durable}`, ensure);
    every(ENSURE_EVERY_MS, signal, () => ensure().catch(() => undefined)); // the server may have come back with an empty store
    log.info({ share: deps.share, tiers: deps.shadowTiers, baseline_tier: deps.tierFile.baseline_tier }, "sampling for shadow labels");
    await consume({ js, wire, log, source, signal, drainMs, observeRun, now: deps.now, concurrency: CONCURRENCY, giveUp: keepDeadLetter(deps.publisher, deps.prefix, deps.now), handle: makeShadow(deps) });
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, "the shadow loop ended; requests go on");
  }
}
