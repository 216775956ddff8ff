import { setMaxListeners } from "node:events";

import { pino } from "pino";

import { runScope } from "#shared/runtime/lifecycle.ts";
import type { Role, RoleContext } from "#shared/runtime/runRole.ts";

import { anyFreePort } from "./embedded/freePort.ts";

const PORT_OF = { gateway: "INFER_GATEWAY_PORT", router: "INFER_ROUTER_PORT", worker: "INFER_WORKER_PORT", "audit-sink": "INFER_AUDIT_SINK_PORT", "metrics-sink": "INFER_METRICS_SINK_PORT", "webhook-sender": "INFER_WEBHOOK_SENDER_PORT", console: "INFER_CONSOLE_PORT" } as const;

export interface TestRoles {
  readonly urls: ReadonlyMap<string, string>;
  /** In order. Whether each ended without an error. */
  readonly stop: () => Promise<boolean[]>;
}

export interface TestRole {
  readonly name: string;
  readonly start: (environment: Readonly<Record<string, string>>, context: RoleContext) => Promise<void>;
}
export const testRole = <C>({ name, config, start }: Role<C>): TestRole => ({ name, start: (environment, context) => start(config.parse(environment), context) });

/** Roles in this process, on free ports, for tests that do something to a server that they use. They may not be ready yet. */
export async function startTestRoles(roles: readonly TestRole[], environment: Readonly<Record<string, string>>): Promise<TestRoles> {
  const end = new AbortController();
  setMaxListeners(0, end.signal);
  const ports = new Map(await Promise.all(roles.map(async ({ name }) => [name, await anyFreePort()] as const)));
  const given = { INFER_GATEWAY_ADMIN_PORT: "0", ...environment, ...Object.fromEntries(Object.entries(PORT_OF).map(([name, variable]) => [variable, String(ports.get(name) ?? 0)])) };
  const log = pino({ level: "silent" });
  const running = roles.map(({ start }) => runScope(log, end.signal, (lifecycle) => start(given, { ...lifecycle, log, drainMs: 2_000, natsSeed: () => undefined })));
  return {
    urls: new Map([...ports].map(([name, port]) => [name, `http://127.0.0.1:${port}`])),
    stop: () => {
      end.abort();
      return Promise.all(running);
    },
  };
}
