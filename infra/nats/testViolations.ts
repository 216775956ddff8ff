/** Test code. */
import { type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";

import { waitUntil } from "#infra/embedded/waitUntil.ts";

/** What the server has refused this connection. A refusal is what it said, never that nothing came. */
export interface Violations {
  /** Resolves once the server has said no to exactly this; rejects when it does not. */
  readonly refused: (operation: "publish" | "publish with reply of" | "subscription", subject: string) => Promise<void>;
}

export function watchViolations(nats: NatsConnection): Violations {
  const heard: string[] = [];
  void (async () => {
    for await (const status of nats.status()) if (status.type === "error" && status.error instanceof PermissionViolationError) heard.push(status.error.message);
  })();
  return {
    async refused(operation, subject) {
      await nats.flush();
      const isSaid = (message: string) => message.toLowerCase().includes(`violation for ${operation}`) && message.includes(`"${subject}"`);
      await waitUntil(() => Promise.resolve(heard.some(isSaid) ? true : undefined), { deadlineMs: 2_000, everyMs: 5, describe: () => `${operation} of ${subject} was not refused` });
    },
  };
}
