/** Load on a whole system over HTTP, and the processes whose CPU it takes. */
import { join } from "node:path";

import autocannon from "autocannon";

import type { System } from "#infra/e2e/system.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import { heldOutMails } from "#workers/backends/local/mails.ts";

/** Bodies of requests whose answers differ. */
export const mailBodies = async (): Promise<string[]> => (await heldOutMails(1_000)).map(({ input }) => JSON.stringify({ user_id: "bench", tenant_id: "bench", input, budget: 1 }));

let serial = 0;
/** Closed loop: for so many seconds, or so many requests. */
export async function load(url: string, bodies: readonly string[], connections: number, much: { readonly seconds: number } | { readonly requests: number }): Promise<autocannon.Result> {
  const nextBody = (request: autocannon.Request): autocannon.Request => ({ ...request, body: bodies[serial++ % bodies.length] ?? "" });
  const length = "seconds" in much ? { duration: much.seconds } : { amount: much.requests };
  return autocannon({ url: `${url}/infer`, connections, ...length, method: "POST", headers: { "content-type": "application/json" }, requests: [{ setupRequest: nextBody }] });
}

/** Servers and roles. */
export function processesOf(system: System): { name: string; pid: number }[] {
  const { servers, roles } = readState(join(system.folder, "home", "state.json"));
  const ofServers = servers.flatMap(({ service, process: one }) => (one === undefined ? [] : [{ name: service, pid: one.pid }]));
  return [...ofServers, ...roles.map(({ name, process: one }) => ({ name, pid: one.pid }))];
}
