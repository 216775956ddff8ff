/**
 * A real gateway on a NATS server of the test's, with the pipeline behind it played by the test: it sees each accepted
 * request, publishes pieces of an answer, and stores the outcome as a worker does.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { pino } from "pino";

import type { RunningServer } from "#infra/embedded/runningServer.ts";
import { startTestServer } from "#infra/embedded/testServers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import type { AnswerDelta, TokenMessage } from "#shared/contracts/chat.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import type { OnceMessage } from "#shared/contracts/shadow.ts";
import { RequestMessage } from "#shared/contracts/request.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import { cancelsTo, type Id, idOf, requestSubject, tokens, tokenSubject } from "#shared/messaging/topology.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { runScope } from "#shared/runtime/lifecycle.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

const PREFIX = "infer";
const ANY = { tenant_id: "*", request_id: "*" };

/** One accepted request, in the hands of a script. */
export interface Turn {
  readonly id: Id;
  readonly request: RequestMessage;
  /** Publishes one message of pieces. Runs are "run-a" unless named. */
  readonly piece: (seq: number, deltas: readonly AnswerDelta[], run?: string) => void;
  /** Stores the outcome; without more an answer of the tier `large`. */
  readonly complete: (more?: Partial<Completion>) => Promise<void>;
  /** Resolves when the gateway says that nobody waits any more. */
  readonly cancelled: Promise<void>;
}
export type Script = (turn: Turn) => Promise<void> | void;
export interface TestGateway {
  /** Ends in `/v1`. */
  readonly url: string;
  /** Of its admin listener. */
  readonly adminUrl: string;
  /** Another gateway on the same NATS server: its URL, which ends in `/v1`. */
  readonly startAnother: () => Promise<string>;
  /** Publishes any event as a service does. */
  readonly emit: (event: OnceMessage) => Promise<void>;
  /** Of the test's own connection. */
  readonly nats: NatsConnection;
  /** The broker behind it. */
  readonly server: RunningServer;
  /** Plays every request from now on. */
  readonly play: (script: Script) => void;
  readonly requests: readonly RequestMessage[];
  readonly cancels: (id: string) => number;
  readonly close: () => Promise<void>;
}

/** `env`: settings of the gateways. */
export async function startTestGateway(env: Readonly<Record<string, string>> = {}): Promise<TestGateway> {
  const server = await startTestServer("nats");
  const nats = await connectNats({ url: server.url, name: "test" });
  await ensureTopology(nats, { prefix: PREFIX, tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  const { publisher, acks } = await brokerOver(nats, PREFIX);
  const requests: RequestMessage[] = [], cancels: string[] = [], failures: unknown[] = [];
  const onCancel = new Map<string, () => void>();
  let script: Script = ({ complete }) => complete();

  const turnOf = (id: Id, request: RequestMessage): Turn => ({
    id, request,
    piece(seq, deltas, run = "run-a") {
      const message: TokenMessage = { type: "token.v1", run, seq, tier: "large", model: "l", deltas: [...deltas] };
      nats.publish(tokenSubject(PREFIX, request.origin, id), JSON.stringify(message));
    },
    async complete(more = {}) {
      const event = Completion.parse({ ...fixture, ...id, origin: request.origin, fingerprint: fingerprintOf(request), ...more });
      await publisher.emit(event, newTraceparent());
    },
    cancelled: new Promise((resolve) => { onCancel.set(tokens(id), resolve); }),
  });
  nats.subscribe(requestSubject(PREFIX, ANY), {
    callback(_error, { subject, data }) {
      const id = idOf(PREFIX, subject);
      if (id === null) return;
      const request = RequestMessage.parse(parseJson(data));
      requests.push(request);
      Promise.resolve(script(turnOf(id, request))).catch((error: unknown) => failures.push(error));
    },
  });
  nats.subscribe(cancelsTo(PREFIX), {
    callback(_error, { subject }) {
      const key = subject.split(".").slice(-2).join(".");
      cancels.push(key);
      onCancel.get(key)?.();
    },
  });
  await nats.flush();

  const stop = new AbortController();
  const running: Promise<unknown>[] = [];
  const start = async () => {
    const ready: { urls?: { service: string; admin: string } } = {};
    const log = pino({ level: "info" }, { write(line: string) {
      const { msg, port, admin_port } = JSON.parse(line) as { msg: string; port?: number; admin_port?: number };
      if (msg === "ready" && port !== undefined && admin_port !== undefined) ready.urls = { service: `http://127.0.0.1:${port}/v1`, admin: `http://127.0.0.1:${admin_port}` };
    } });
    const config = gateway.config.parse({ NATS_URL: server.url, INFER_GATEWAY_PORT: "0", INFER_GATEWAY_ADMIN_PORT: "0", ...env });
    running.push(runScope(log, stop.signal, (lifecycle) => gateway.start(config, { ...lifecycle, log, drainMs: 1_000, natsSeed: () => undefined })));
    return waitUntil(() => Promise.resolve(ready.urls), { deadlineMs: 20_000, describe: () => "the gateway is not ready" });
  };
  const { service: url, admin: adminUrl } = await start();
  return {
    url, adminUrl, server, requests, nats,
    startAnother: async () => (await start()).service,
    emit: (event) => publisher.emit(event, newTraceparent()).then(() => undefined),
    play(next) { script = next; },
    cancels: (requestId) => cancels.filter((key) => key.endsWith(`.${requestId}`)).length,
    async close() {
      stop.abort();
      await Promise.all(running);
      await acks.close();
      await nats.close();
      await server.remove();
      if (failures.length > 0) throw new Error("a script failed", { cause: failures[0] });
    },
  };
}
