import { type Agent, type Dispatcher, request } from "undici";

import { VERSION } from "#shared/runtime/version.ts";

import type { Tried } from "./afterTry.ts";
import { RefusedTarget } from "#shared/reach/guardedAgent.ts";
import { signaturesOf } from "./signature.ts";

export interface Try {
  readonly url: string;
  readonly webhookId: string;
  readonly body: string;
  /** The present one first. */
  readonly secrets: readonly string[];
}
export interface SendDeps {
  readonly agent: Agent;
  readonly timeoutMs: number;
  readonly now: () => number;
  /** Ends the try, as one that failed. */
  readonly signal: AbortSignal;
}
/** Read so that its connection can be used again, and thrown away. */
const MAX_ANSWER_BYTES = 16 * 1024;

/** One POST. Redirects are not followed: they are answers like any other. Never throws. */
export async function sendTry({ url, webhookId, body, secrets }: Try, { agent, timeoutMs, now, signal }: SendDeps): Promise<Tried> {
  const ends = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const atS = Math.floor(now() / 1_000);
  try {
    const answer = await request(url, {
      method: "POST", dispatcher: agent, body, signal: ends, headersTimeout: timeoutMs, bodyTimeout: timeoutMs,
      headers: {
        "content-type": "application/json", "user-agent": `cost-aware-inference-optimizer/${VERSION}`,
        "webhook-id": webhookId, "webhook-timestamp": String(atS), "webhook-signature": signaturesOf(secrets, { webhookId, atS, body }),
      },
    });
    await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal: ends }).catch(() => undefined); // its status is known
    const status = answer.statusCode;
    return { status, error: status >= 200 && status < 300 ? null : `HTTP status ${status}`, retryAfter: retryAfterOf(answer) };
  } catch (error) {
    return { status: null, error: reasonOf(error, ends), retryAfter: null };
  }
}

function retryAfterOf({ headers }: Dispatcher.ResponseData): string | null {
  const value = headers["retry-after"];
  return typeof value === "string" ? value : null;
}

/** For the tenant to read: no address, nothing that the other side said. */
function reasonOf(error: unknown, ends: AbortSignal): string {
  if (error instanceof RefusedTarget) return error.message;
  if (ends.aborted) return "no answer in time";
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown";
  return `no connection (${code})`;
}
