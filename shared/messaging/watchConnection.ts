import type { NatsConnection } from "@nats-io/transport-node";

/** Follows the connection: says when it is away, for `/readyz`. */
export function watchConnection(nats: NatsConnection): () => readonly string[] {
  let problem: string | null = null;
  void (async () => {
    for await (const status of nats.status()) {
      if (status.type === "disconnect" || status.type === "staleConnection") problem = "NATS is disconnected; reconnecting";
      if (status.type === "reconnect") problem = null;
      if (status.type === "close") problem = "the NATS connection is closed";
    }
  })();
  return () => (problem === null ? [] : [problem]);
}
