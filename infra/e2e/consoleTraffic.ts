/** Requests that give the console something to show: several tenants, policies and outcomes, on real mails. */
import type { InferBody } from "#shared/contracts/request.ts";
import { heldOutMails } from "#workers/backends/local/mails.ts";

import { postJson } from "./callers.ts";
import type { System } from "./system.ts";

const TENANTS = ["acme", "globex", "initech"] as const;
const AT_ONCE = 8;

export async function makeTenants(system: Pick<System, "inferctl">): Promise<void> {
  await system.inferctl("tenants", "create", "acme", "--budget", "tenant.day=0.5", "--budget", "tenant.month=5", "--pacing", "tenant.month");
  await system.inferctl("tenants", "create", "globex", "--budget", "tenant.day=1,soft", "--cache", "all");
  await system.inferctl("tenants", "create", "initech");
}

type Asked = InferBody & { readonly request_id: string; readonly tenant_id: string };

export async function planRequests(count: number): Promise<Asked[]> {
  const mails = await heldOutMails(count);
  return Array.from({ length: count }, (_, i): Asked => {
    const mail = mails[i % 11 === 10 ? i - 3 : i % mails.length]; // now and then one that was asked before
    if (mail === undefined) throw new Error("there are no mails");
    const asked = { request_id: `mail-${String(i + 1).padStart(4, "0")}`, tenant_id: TENANTS[i % 11 === 10 ? (i - 3) % 3 : i % 3] ?? "acme", user_id: `user-${i % 7}`, input: mail.input, budget: 0.01, task: "spam" };
    if (i % 10 === 4) return { ...asked, policy: "always-large" };
    if (i % 10 === 7) return { ...asked, policy: "cascade" };
    if (i % 29 === 13) return { ...asked, budget: 0.000_000_001 }; // too little for any tier
    return asked;
  });
}

export interface SendOptions {
  readonly key?: string | null;
  /** Requests a second. Absent: as fast as they are answered. */
  readonly rate?: number;
}

/** Resolves to the outcomes, once all have one. */
export async function sendRequests(gatewayUrl: string, asked: readonly Asked[], { key = null, rate }: SendOptions = {}): Promise<number[]> {
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` };
  const statuses: number[] = [];
  const startedAt = performance.now();
  const waiting = [...asked.entries()];
  const caller = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [place, body] = next;
      const early = rate === undefined ? 0 : startedAt + (place * 1_000) / rate - performance.now();
      if (early > 0) await new Promise((resolve) => { setTimeout(resolve, early); });
      statuses[place] = (await postJson(`${gatewayUrl}/infer`, body, { headers })).status;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  return statuses;
}
