/** Claims what is due and sends it, so many at once, until the signal. A delivery that cannot be noted is sent again when its lease ends. */
import type { Logger } from "pino";
import type { Pool } from "pg";

import { hasEnded, pause } from "#shared/runtime/lifecycle.ts";
import { unseal } from "#shared/webhooks/secrets.ts";

import { afterTry, type Next, type Tried } from "./afterTry.ts";
import { type Claimed, claimDue, noteTry } from "./claims.ts";
import type { WebhookMetrics } from "./metrics.ts";
import type { Try } from "./sendTry.ts";

export interface SendLoopDeps {
  readonly pool: Pool;
  /** What secrets are sealed with. */
  readonly key: Buffer;
  /** Never throws, and ends within the lease. `signal`: it is not waited for any more. */
  readonly send: (one: Try, signal: AbortSignal) => Promise<Tried>;
  readonly times: SendTimes;
  readonly metrics: WebhookMetrics;
  readonly log: Logger;
  readonly now: () => number;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** For what is under way at the signal. */
  readonly drainMs: number;
}
export interface SendTimes {
  readonly most: number;
  /** A slow endpoint holds up no other of its tenant until there are `mostPerTenant / mostPerEndpoint` of them. */
  readonly mostPerEndpoint: number;
  /** A tenant whose endpoints are slow holds up no other until there are `most / mostPerTenant` of them. */
  readonly mostPerTenant: number;
  /** Longer than a try and its note take. */
  readonly leaseMs: number;
  readonly pollMs: number;
}
export const SEND_TIMES: SendTimes = { most: 64, mostPerEndpoint: 4, mostPerTenant: 16, leaseMs: 30_000, pollMs: 1_000 };

export async function runSendLoop(deps: SendLoopDeps): Promise<void> {
  const { pool, times, metrics, log, signal, drainMs } = deps;
  const running = new Map<Claimed, Promise<void>>();
  const hardStop = new AbortController();
  let wake = new AbortController();
  const start = (claimed: Claimed) => {
    metrics.underWay.inc();
    running.set(claimed, deliver(claimed, deps, hardStop.signal).finally(() => {
      metrics.underWay.dec();
      running.delete(claimed);
      wake.abort(); // there may be more for its endpoint
    }));
  };
  let isAway = false;
  /** `null`: they cannot be read. */
  const claim = async (): Promise<Claimed[] | null> => {
    try {
      const claimed = await claimDue(pool, { limit: times.most - running.size, mostPerEndpoint: times.mostPerEndpoint, mostPerTenant: times.mostPerTenant, underWay: [...running.keys()], leaseMs: times.leaseMs });
      isAway = false;
      return claimed;
    } catch (error) {
      if (!isAway) log.warn({ err: error }, "due webhooks cannot be read; trying again");
      isAway = true;
      return null;
    }
  };
  while (!hasEnded(signal)) {
    wake = new AbortController();
    const { signal: woken } = wake;
    const claimed = running.size < times.most ? await claim() : [];
    claimed?.forEach(start);
    if (claimed === null) await pause(times.pollMs, signal);
    else if (claimed.length === 0) await pause(times.pollMs, AbortSignal.any([signal, woken]));
  }
  const late = setTimeout(() => { hardStop.abort(); }, drainMs);
  await Promise.all(running.values());
  clearTimeout(late);
}

/** Never throws. */
async function deliver(claimed: Claimed, deps: SendLoopDeps, hardStop: AbortSignal): Promise<void> {
  const { pool, metrics, log, now, random } = deps;
  const { webhook_id, tenant_id, endpoint_id, tries } = claimed;
  const about = { webhook_id, tenant_id, endpoint_id, tries };
  try {
    if (claimed.endpoint_status !== "active") {
      await noteTry(pool, claimed, { status: null, error: `its endpoint is ${claimed.endpoint_status}` }, { kind: "dead" });
      metrics.dead.inc({ reason: "inactive" });
      return;
    }
    const done = metrics.duration.startTimer();
    const secrets = secretsOf(claimed, deps.key);
    const tried = secrets.length === 0 ? UNSIGNABLE : await deps.send({ url: claimed.url, webhookId: webhook_id, body: claimed.payload, secrets }, hardStop);
    done();
    if (hasEnded(hardStop)) return; // nobody's fault: the lease ends, and another sender sends it
    const next = afterTry(tried, tries, now(), random);
    await noteTry(pool, claimed, tried, next);
    tell(next, tried);
  } catch (error) {
    log.warn({ ...about, err: error }, "a webhook could not be sent or noted; it is sent again when its lease ends");
  }

  function tell(next: Next, { status, error }: Tried): void {
    metrics.tries.inc({ result: next.kind === "delivered" ? "delivered" : "failed" });
    if (next.kind === "dead" || next.kind === "gone") metrics.dead.inc({ reason: next.kind === "gone" ? "gone" : "exhausted" });
    const words = { ...about, status, error };
    if (next.kind === "delivered") log.debug(words, "webhook delivered");
    else if (next.kind === "retry") log.info({ ...words, after_ms: Math.round(next.afterMs) }, "a webhook was not taken; it is sent again");
    else log.warn(words, next.kind === "gone" ? "an endpoint answered 410 and is disabled" : "a webhook was given up on");
  }
}

const UNSIGNABLE: Tried = { status: null, error: "its secret cannot be opened: rotate it (INFER_SECRET was another one when it was made)", retryAfter: null };
/** Those that can be opened: one that was sealed under another INFER_SECRET does not take the other away. */
function secretsOf({ endpoint_id, secret_sealed, former_sealed }: Claimed, key: Buffer): string[] {
  return [secret_sealed, former_sealed].flatMap((sealed) => {
    try {
      return sealed === null ? [] : [unseal(key, endpoint_id, sealed)];
    } catch {
      return [];
    }
  });
}
