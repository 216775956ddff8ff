/**
 * Room for whoever comes: while a gateway holds as many connections as it may, each new one ends the one on which nothing was asked for longest.
 * A connection is idle from its start, or the end of its last answer, until the next request.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";

/** Nobody who asks one request after the other is cut off between two of them. */
const IDLE_FOR_MS = 1_000;

export interface IdleConnections {
  readonly began: (connection: Socket, nowMs: number) => void;
  /** Or gone. */
  readonly busy: (connection: Socket) => void;
  /** The one that is idle for longest, if that is long enough. */
  readonly oldest: (nowMs: number) => Socket | null;
}
/** Pure but for what it has seen. Times are monotonic. */
export function makeIdleConnections(): IdleConnections {
  const sinceMs = new Map<Socket, number>(); // in order of time
  return {
    began(connection, nowMs) {
      sinceMs.delete(connection);
      sinceMs.set(connection, nowMs);
    },
    busy(connection) { sinceMs.delete(connection); },
    oldest(nowMs) {
      const [first] = sinceMs;
      return first !== undefined && nowMs - first[1] >= IDLE_FOR_MS ? first[0] : null;
    },
  };
}

/** At most `most` at once, of which idle ones make room. One more than that is closed at once where none is idle. */
export function boundConnections(server: Server, most: number): void {
  const idle = makeIdleConnections();
  const now = () => performance.now();
  let open = 0;
  const makeRoom = () => { idle.oldest(now())?.destroy(); };
  server.maxConnections = most;
  server.on("connection", (connection: Socket) => {
    open++;
    if (open >= most) makeRoom(); // for the next one
    idle.began(connection, now());
    connection.once("close", () => {
      open--;
      idle.busy(connection);
    });
  });
  server.on("drop", makeRoom);
  server.on("request", ({ socket }, reply) => {
    idle.busy(socket);
    reply.once("close", () => { if (!socket.destroyed) idle.began(socket, now()); });
  });
}
