/**
 * A process of the bare transport floor: the hops of a request over the project's own streams, with none of its code in between. Arguments: what it
 * plays (`router`, `worker` or `caller`), and the URL of NATS. Prints a line when it is ready; `caller` prints its figures as JSON at the end.
 *
 *   caller ─ REQUESTS ─► router ─ JOBS ─► worker ─ COMPLETIONS, and a core reply after its PubAck ─► caller
 */
import { AckPolicy, type JetStreamClient, jetstream, jetstreamManager, type JsMsg } from "@nats-io/jetstream";
import { connect, createInbox, type NatsConnection } from "@nats-io/transport-node";

const [part = "", url = "", callers = "32", seconds = "5"] = process.argv.slice(2);
const BODY_BYTES = 900;
const PULLING = 32;

type Publish = (subject: string, body: Uint8Array) => Promise<void>;
/** Awaited publishes with one inbox for all acks, which leave once per turn of the event loop: the cheapest way that is known. */
function publisher(nats: NatsConnection): Publish {
  const inbox = createInbox();
  const waiting = new Map<string, () => void>();
  let outbox: (() => void)[] = [], last = 0;
  nats.subscribe(`${inbox}.*`, {
    callback(_error, message) {
      const id = message.subject.slice(inbox.length + 1);
      if (message.string().includes('"error"')) throw new Error(message.string());
      waiting.get(id)?.();
      waiting.delete(id);
    },
  });
  return (subject, body) => new Promise((resolve) => {
    const id = String(++last);
    waiting.set(id, resolve);
    outbox.push(() => { nats.publish(subject, body, { reply: `${inbox}.${id}` }); });
    if (outbox.length > 1) return;
    setImmediate(() => {
      const batch = outbox;
      outbox = [];
      for (const send of batch) send();
    });
  });
}

async function consumerOf(nats: NatsConnection, js: JetStreamClient, stream: string) {
  const jsm = await jetstreamManager(nats);
  await jsm.consumers.add(stream, { durable_name: "floor", ack_policy: AckPolicy.Explicit, max_ack_pending: 1_000 });
  return js.consumers.get(stream, "floor");
}

async function route(nats: NatsConnection, publish: Publish): Promise<void> {
  const consumer = await consumerOf(nats, jetstream(nats), "REQUESTS");
  const callback = (message: JsMsg) => {
    const [, , , id = ""] = message.subject.split(".");
    void publish(`infer.job.small.floor.${id}.1`, message.data).then(() => { message.ack(); });
  };
  await consumer.consume({ max_messages: 256, callback });
}

async function work(nats: NatsConnection, publish: Publish): Promise<void> {
  const consumer = await consumerOf(nats, jetstream(nats), "JOBS");
  const slot = async () => {
    for (;;) {
      const message = await consumer.next({ expires: 1_000 });
      if (message === null) continue;
      const [, , , , id = ""] = message.subject.split(".");
      await publish(`infer.completion.floor.${id}`, message.data);
      nats.publish(`infer.reply.floor.floor.${id}`, message.data);
      message.ack();
    }
  };
  for (let i = 0; i < PULLING; i++) void slot();
}

/** Closed loop. */
async function call(nats: NatsConnection, publish: Publish): Promise<void> {
  const body = new Uint8Array(BODY_BYTES).fill(97);
  const waiting = new Map<string, () => void>();
  nats.subscribe("infer.reply.floor.>", {
    callback(_error, message) {
      const id = message.subject.split(".").at(-1) ?? "";
      waiting.get(id)?.();
      waiting.delete(id);
    },
  });
  let last = 0, done = 0;
  const run = `${process.pid}-${Date.now()}`;
  const untilMs = performance.now() + Number(seconds) * 1_000;
  const one = async () => {
    while (performance.now() < untilMs) {
      const id = `${run}-${++last}`;
      const answered = new Promise<void>((resolve) => { waiting.set(id, resolve); });
      await publish(`infer.request.floor.${id}`, body);
      await answered;
      done++;
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: Number(callers) }, one));
  process.stdout.write(`${JSON.stringify({ requests: done, seconds: (performance.now() - startedMs) / 1_000 })}\n`);
}

const nats = await connect({ servers: url });
const publish = publisher(nats);
if (part === "router") await route(nats, publish);
else if (part === "worker") await work(nats, publish);
else {
  await call(nats, publish);
  await nats.close();
  process.exit(0);
}
process.stdout.write("0\n");
