/** F6 and F26: NATS that dies, and what is published twice. */
import { setTimeout as sleep } from "node:timers/promises";

import { headers } from "@nats-io/transport-node";

import { postJson, recordOf } from "#infra/e2e/callers.ts";

import { promptOf } from "../backend.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { CANARIES } from "../load.ts";

const down = (id: string, ms: number, more: Partial<FaultCase>): FaultCase => ({
  id, title: `kill -9 nats-server, ${ms / 1_000} s down, start`, isInShortForm: false, isForSoak: false, recoveryMs: 5_000, afterMs: 6_000,
  async strike(trial) {
    const { rig, mayRepeat, violated } = trial;
    mayRepeat(1); // a lease ends with the server that it was of, where it is away for longer than the lease
    await rig.signal("nats", "SIGKILL");
    await sleep(ms);
    await rig.restart("nats");
    if (rig.exits.length > 0) violated(`processes ended: ${rig.exits.map(({ name }) => name).join(", ")}`);
  },
  ...more,
});

export const brokers: readonly FaultCase[] = [
  down("F6a", 2_000, { isInShortForm: true, isForSoak: true }),
  down("F6b", 30_000, {}),
  { id: "F26", title: "the same id again: same body, other body, other tenant, another's message id, after a restart of NATS", isInShortForm: true, isForSoak: false, strike: publishAgain },
];

async function publishAgain({ rig, violated }: Trial): Promise<void> {
  const id = `again-${Date.now().toString(36)}`;
  const bodyOf = (tenant: string, words = "") => ({
    request_id: id, tenant_id: tenant, user_id: "again", budget: 1, deadline_ms: 40_000,
    input: promptOf({ tenant, id, canary: CANARIES.get(tenant) ?? "", delayMs: 30 }) + words,
  });
  const overHttp = (tenant: string, words?: string) => postJson(`${rig.gatewayUrls[0] ?? ""}/infer`, bodyOf(tenant, words));
  const expectStatus = (what: string, found: number, wanted: number) => { if (found !== wanted) violated(`${what}: HTTP ${found}, not ${wanted}`); };
  const publish = (tenant: string, requestId: string, messageId: string) => {
    const { request_id: _id, tenant_id: _tenant, ...content } = bodyOf(tenant);
    const named = headers();
    named.set("Nats-Msg-Id", messageId);
    return rig.broker.js.publish(`infer.request.${tenant}.${requestId}`, JSON.stringify(content), { headers: named });
  };

  const first = await overHttp("t1");
  expectStatus("the first", first.status, 200);
  const again = await overHttp("t1");
  if (again.text !== first.text) violated("the same request again had another answer");
  expectStatus("another body", (await overHttp("t1", " ")).status, 422);
  const other = await overHttp("t2");
  expectStatus("the same id of another tenant", other.status, 200);
  if (recordOf(other).tenant_id !== "t2") violated("another tenant's answer was given");
  const [mine, theirs] = [await publish("t3", `${id}-m`, "one-id"), await publish("t4", `${id}-m`, "one-id")];
  if (!mine.duplicate && theirs.duplicate) {
    // The server's own deduplication is of a whole stream. No publisher of ours names a message; who does suppresses nobody but those who do.
    const unnamed = await postJson(`${rig.gatewayUrls[1] ?? ""}/infer`, { ...bodyOf("t4"), request_id: `${id}-m` });
    expectStatus("a victim that names no message", unnamed.status, 200);
  }
  await rig.restart("nats");
  const afterRestart = await retried(() => overHttp("t1"));
  if (afterRestart !== first.text) violated("after a restart of NATS the same request had another answer");
}

async function retried(ask: () => Promise<{ readonly status: number; readonly text: string }>): Promise<string> {
  for (let tries = 0; tries < 40; tries++) {
    const answer = await ask().catch(() => null);
    if (answer?.status === 200) return answer.text;
    await sleep(250);
  }
  return "no answer";
}
