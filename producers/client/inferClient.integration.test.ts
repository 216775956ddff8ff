/** Both transports against a real broker and gateway. The pipeline behind them is played by the test. */
import { createServer, connect as connectSocket, type Socket } from "node:net";

import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway, type Turn } from "#infra/testGateway.ts";

import { connectInferClient, type InferClient, type InferClientOptions, type InferReply, type InferRequest, isInferError, type StreamPart } from "./inferClient.ts";

const WAIT = { timeout: 10_000, interval: 20 };
const ASK: InferRequest = { input: "Is this spam?", budget: 1 };
const ANSWER = "spam 🌍";
let gateway: TestGateway;
let door: FrontDoor;
let dropDatabase: () => Promise<void>;
const clients: InferClient[] = [];
/** How the client gets there. */
const urls = { http: () => door.url, nats: () => gateway.server.url };
type Transport = keyof typeof urls;
const BOTH: Transport[] = ["http", "nats"];

async function open(transport: Transport, more: Partial<InferClientOptions> = {}): Promise<InferClient> {
  const client = await connectInferClient({ url: urls[transport](), tenantId: "t1", userId: "u", ...more });
  clients.push(client);
  return client;
}
beforeAll(async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "client");
  dropDatabase = database.drop;
  gateway = await startTestGateway({ DATABASE_URL: database.url, INFER_MAX_EVENT_STREAMS: "1" });
  door = await openFrontDoor(new URL(gateway.url));
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await door.close();
  await gateway.close();
  await dropDatabase();
});
beforeEach(() => { gateway.play(({ complete }) => complete()); });

const errorOf = async (call: Promise<unknown>) => call.then(() => { throw new Error("it was answered"); }, (error: unknown) => { if (isInferError(error)) return error; throw error; });
const acceptedWith = (id: string) => gateway.requests.filter(({ request_id }) => request_id === id).length;
/** That request's, once it is accepted: what an earlier test left may still come. The test completes it. */
const turnOf = (requestId: string) => new Promise<Turn>((resolve) => { gateway.play((turn) => { if (turn.id.request_id === requestId) resolve(turn); }); });
async function read(stream: AsyncIterable<StreamPart>, onPiece: (text: string) => unknown = () => undefined) {
  const texts: string[] = [];
  for await (const part of stream) {
    if (part.kind === "outcome") return { texts, outcome: part.outcome };
    texts.push(part.text);
    await onPiece(part.text);
  }
  throw new Error("it ended without an outcome");
}

describe.each(BOTH)("over %s", (transport) => {
  let client: InferClient;
  const id = (name: string) => `${transport}-${name}`;
  beforeAll(async () => { client = await open(transport); });

  it("asks and waits, and finds the outcome again", async () => {
    const reply = await client.infer({ ...ASK, request_id: id("ask") });
    expect(reply).toMatchObject({ request_id: id("ask"), tenant_id: "t1", outcome: "completed", output: ANSWER, tier: "large", cost_usd: 0.000295 });
    expect(reply.decision.steps[0]).not.toHaveProperty("facts");
    for (const ref of [id("ask"), { request_id: id("ask") }, { request_id: id("ask"), tenant_id: "t1" }]) expect(await client.outcome(ref)).toEqual(reply);
    expect(await client.wait(id("ask"))).toEqual(reply);
    expect((await client.infer({ ...ASK, request_id: id("ask"), explain: true })).decision.steps[0]).toHaveProperty("facts");
  });

  it("makes an id for a request that has none", async () => {
    expect((await client.infer(ASK)).request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(gateway.requests.at(-1)).toMatchObject({ tenant_id: "t1", user_id: "u", input: ASK.input });
  });

  it("gives what failed or was rejected as a value", async () => {
    gateway.play(({ complete }) => complete({ outcome: "failed", output: null, tier: null, model: null, error: { code: "backend_unavailable", message: "no model answers" } }));
    expect(await client.infer(ASK)).toMatchObject({ outcome: "failed", output: null, error: { code: "backend_unavailable" } });
    expect(gateway.requests.at(-1)?.request_id).not.toBe(gateway.requests.at(-2)?.request_id);
  });

  it("gives a limit that is a request's outcome as an error with the time to wait, and does not try again; who asks for the outcome has it", async () => {
    gateway.play(({ complete }) => complete({ outcome: "rejected", output: null, tier: null, model: null, error: { code: "rate_limited", message: "try again in 2 s", retry_after_ms: 1_500 } }));
    const ask = { ...ASK, request_id: id("limited") };
    for (const call of [() => client.infer(ask), () => client.infer(ask), () => read(client.stream(ask))]) {
      expect(await errorOf(call())).toMatchObject({ code: "rate_limited", status: 429, message: "try again in 2 s", retryable: false, retryAfterMs: 1_500, requestId: id("limited") });
    }
    expect(acceptedWith(id("limited"))).toBe(1);
    expect(await client.wait(id("limited"))).toMatchObject({ outcome: "rejected", error: { code: "rate_limited", retry_after_ms: 1_500 } });
  });

  it("gives the outcome of a used id again, and refuses another request under it", async () => {
    const first = await client.infer({ ...ASK, request_id: id("twice") });
    expect(await client.infer({ ...ASK, request_id: id("twice") })).toEqual(first);
    expect(acceptedWith(id("twice"))).toBe(1);
    expect(await errorOf(client.infer({ ...ASK, request_id: id("twice"), input: "other" }))).toMatchObject({ code: "idempotency_mismatch", retryable: false, requestId: id("twice") });
    expect(await errorOf(client.submit({ ...ASK, request_id: id("twice"), input: "other" }))).toMatchObject({ code: "idempotency_mismatch" });
  });

  it("joins a request that another caller sent, by either door, and tells it from another one with its id", async () => {
    for (const other of BOTH) {
      const joined = id(`joins-${other}`);
      const turn = turnOf(joined);
      const first = (await open(other)).infer({ ...ASK, request_id: joined });
      const { complete } = await turn;
      const heard = gateway.requests.length;
      const second = client.infer({ ...ASK, request_id: joined });
      const different = errorOf(client.infer({ ...ASK, request_id: joined, budget: 2 }));
      if (transport === "nats") await vi.waitFor(() => { expect(gateway.requests.length).toBe(heard + 2); }, WAIT); // what the stream refuses is heard too
      await complete();
      expect(await second).toEqual(await first);
      expect((await different).code).toBe("idempotency_mismatch");
    }
  });

  it.each<[string, object]>([["budget", { budget: -1 }], ["id", { request_id: "a.b" }], ["tenant", { tenant_id: "*" }], ["blank text", { input: " " }], ["misspelt field", { bugdet: 1 }]])("sends nothing with a bad %s", async (_name, change) => {
    const before = gateway.requests.length;
    const errors = await Promise.all([client.infer({ ...ASK, ...change }), client.submit({ ...ASK, ...change }), read(client.stream({ ...ASK, ...change }))].map(errorOf));
    for (const error of errors) expect(error).toMatchObject({ code: "invalid_request", status: 400, retryable: false });
    expect(gateway.requests).toHaveLength(before);
  });

  it("refuses bad ids and feedback before it sends them", async () => {
    const errors = await Promise.all([client.outcome("a.b"), client.wait({ request_id: "r", tenant_id: "*" }), client.feedback(id("ask"), { score: 2, source: "user" })].map(errorOf));
    for (const { code } of errors) expect(code).toBe("invalid_request");
  });

  it("submits without waiting, and waits later", async () => {
    const turn = turnOf(id("later"));
    const accepted = await client.submit({ ...ASK, request_id: id("later") });
    expect(accepted).toEqual({ request_id: id("later"), tenant_id: "t1" });
    expect(await client.outcome(accepted)).toBeNull();
    const waiting = client.wait(accepted);
    await (await turn).complete();
    expect(await waiting).toMatchObject({ request_id: id("later"), output: ANSWER });
  });

  it("tells of each outcome of what it submitted, once, and of nothing else", async () => {
    const told: string[] = [];
    const own = await open(transport);
    const stop = own.onCompletion(({ request_id }) => told.push(request_id));
    await client.submit({ ...ASK, request_id: id("not-mine") });
    await own.infer({ ...ASK, request_id: id("asked") });
    const names = Array.from({ length: 20 }, (_, i) => id(`collected-${i}`));
    await Promise.all(names.map((request_id) => own.submit({ ...ASK, request_id })));
    await vi.waitFor(() => { expect(told.toSorted()).toEqual(names.toSorted()); }, WAIT);
    await own.submit({ ...ASK, request_id: names[0] ?? "" }); // its outcome is there already
    await vi.waitFor(() => { expect(told).toHaveLength(21); }, WAIT);
    stop();
    await own.wait(await own.submit({ ...ASK, request_id: id("after") }));
    expect(told).toHaveLength(21);
  });

  it("streams pieces as they are made, then the outcome", async () => {
    const seen = latch();
    gateway.play(async ({ request, piece, complete }) => {
      expect(request.stream).toBe(true);
      piece(0, [{ text: "sp" }]);
      await seen.opened; // before there is an outcome
      await complete();
    });
    const { texts, outcome } = await read(client.stream({ ...ASK, request_id: id("stream") }), seen.open);
    expect([texts, outcome]).toEqual([["sp", "am 🌍"], await client.outcome(id("stream"))]);
    expect(await read(client.stream({ ...ASK, request_id: id("stream") }))).toEqual({ texts: [ANSWER], outcome });
  });

  it("streams an answer that was not shown while it grew in one go, and a failure as its outcome", async () => {
    expect((await read(client.stream(ASK))).texts).toEqual([ANSWER]);
    gateway.play(({ complete }) => complete({ outcome: "failed", output: null, error: { code: "no_sound_answer", message: "m" } }));
    expect(await read(client.stream(ASK))).toMatchObject({ texts: [], outcome: { outcome: "failed", error: { code: "no_sound_answer" } } });
  });

  it("never ends a stream cleanly whose pieces are not the answer that was kept", async () => {
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "ham" }]); await complete(); });
    expect(await errorOf(read(client.stream({ ...ASK, request_id: id("broken") })))).toMatchObject({ code: "stream_broken", retryable: true, requestId: id("broken") });
    expect((await client.outcome(id("broken")))?.output).toBe(ANSWER);
    gateway.play(async ({ piece, complete }) => { piece(0, [{ text: "sp" }]); await complete({ outcome: "failed", output: null, error: { code: "backend_unavailable", message: "m" } }); });
    expect(await errorOf(read(client.stream({ ...ASK, request_id: id("cut") })))).toMatchObject({ code: "backend_unavailable", retryable: false, requestId: id("cut") });
  });

  it("lets a reader leave a stream: the request goes on", async () => {
    const turn = turnOf(id("left"));
    const reading = (async () => { for await (const part of client.stream({ ...ASK, request_id: id("left") })) return part; return null; })();
    const { piece, complete } = await turn;
    piece(0, [{ text: "sp" }]);
    expect(await reading).toMatchObject({ kind: "piece", text: "sp" });
    await complete();
    expect((await client.wait(id("left"))).output).toBe(ANSWER);
    expect(gateway.cancels(id("left"))).toBe(0);
  });

  it("says in time that it does not know yet, and knows later", async () => {
    const turn = turnOf(id("slow"));
    expect(await errorOf(client.infer({ ...ASK, request_id: id("slow") }, { timeoutMs: 300 }))).toMatchObject({ code: "timeout", status: null, retryable: true, requestId: id("slow") });
    expect(await errorOf(client.wait(id("slow"), { timeoutMs: 100 }))).toMatchObject({ code: "timeout", requestId: id("slow") });
    await (await turn).complete();
    expect((await client.infer({ ...ASK, request_id: id("slow") })).output).toBe(ANSWER);
    expect(acceptedWith(id("slow"))).toBe(1);
  });

  it("ends each kind of call at the caller's signal, and the request goes on", async () => {
    const leaving = new AbortController();
    const turns: Turn[] = [];
    gateway.play((turn) => { turns.push(turn); });
    const options = { signal: leaving.signal };
    const calls = [client.infer({ ...ASK, request_id: id("left-1") }, options), read(client.stream({ ...ASK, request_id: id("left-2") }, options)), client.wait(await client.submit({ ...ASK, request_id: id("left-3") }), options)].map(errorOf);
    await vi.waitFor(() => { expect(turns).toHaveLength(3); }, WAIT);
    leaving.abort(new Error("enough"));
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: "aborted", retryable: false, cause: { message: "enough" } });
    expect(await errorOf(client.infer(ASK, options))).toMatchObject({ code: "aborted" });
    expect(turns).toHaveLength(3);
    await Promise.all(turns.map(({ complete }) => complete()));
    for (const name of ["left-1", "left-2", "left-3"]) expect((await client.wait(id(name))).output).toBe(ANSWER);
  });

  it("takes feedback as often as it likes", async () => {
    await client.infer({ ...ASK, request_id: id("rated") });
    await client.feedback(id("rated"), { score: 1, source: "user", comment: "yes" });
    await client.feedback({ request_id: id("rated"), tenant_id: "t1" }, { score: 0, source: "user" });
  });

  it("ends what runs when it is closed", async () => {
    const own = await open(transport);
    const turn = turnOf(id("followed"));
    const errors: unknown[] = [];
    own.onCompletion(() => undefined, { onError: (error) => errors.push(error) });
    await own.submit({ ...ASK, request_id: id("followed") });
    await turn;
    const running = errorOf(own.infer({ ...ASK, request_id: id("followed") }));
    await own.close();
    expect([(await running).code, (await errorOf(own.infer(ASK))).code, errors]).toEqual(["closed", "closed", []]);
  });

  it("has the outcome though the broker was killed meanwhile", async () => {
    const turn = turnOf(id("outage"));
    const asked = client.infer({ ...ASK, request_id: id("outage") });
    const streamed = read(client.stream({ ...ASK, request_id: id("outage") }));
    const { complete } = await turn;
    await gateway.server.kill();
    await gateway.server.restart();
    await vi.waitFor(complete, WAIT);
    const replies: InferReply[] = [await asked, (await streamed).outcome, await client.wait(id("outage"))];
    expect(replies.map(({ output }) => output)).toEqual([ANSWER, ANSWER, ANSWER]);
    expect(acceptedWith(id("outage"))).toBeLessThanOrEqual(2); // with the stream's, which the broker refused
  });
});

describe("over http", () => {
  it("asks again as the same request when the connection breaks", async () => {
    const client = await open("http");
    const turn = turnOf("lost");
    const asked = client.infer({ ...ASK, request_id: "lost" });
    const { complete } = await turn;
    door.cut();
    await complete();
    expect((await asked).output).toBe(ANSWER);
    expect(acceptedWith("lost")).toBe(1);
  });

  it("goes on with a stream where it was when the connection breaks", async () => {
    const client = await open("http");
    const seen = latch();
    gateway.play(async ({ piece, complete }) => {
      piece(0, [{ text: "sp" }]);
      await seen.opened;
      door.cut();
      await complete();
    });
    expect((await read(client.stream({ ...ASK, request_id: "lost-stream" }), seen.open)).texts).toEqual(["sp", "am 🌍"]);
    expect([acceptedWith("lost-stream"), gateway.cancels("lost-stream")]).toEqual([1, 0]);
  });

  it("waits as long as a 503 asks for", async () => {
    const client = await open("http");
    const before = gateway.requests.length, from = performance.now();
    door.refuseNext("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy");
    expect((await client.infer(ASK)).output).toBe(ANSWER);
    expect(performance.now() - from).toBeGreaterThanOrEqual(1_000);
    expect(gateway.requests.length).toBe(before + 1);
  });

  it.each<[string, object, object]>([
    ["the call has no time for it", { timeoutMs: 900 }, {}],
    ["the request's deadline is before it", {}, { deadline_ms: 900 }],
    ["that was the last try", { maxTries: 1 }, {}],
  ])("says at once what a 503 said when %s", async (_name, options, more) => {
    const client = await open("http");
    const before = gateway.requests.length;
    door.refuseNext("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    expect(await errorOf(client.infer({ ...ASK, ...more }, options))).toMatchObject({ status: 503, retryAfterMs: 1_000, retryable: true });
    expect(gateway.requests.length).toBe(before);
  });

  it("gives up when nobody answers, and names the id to repeat with", async () => {
    const client = await connectInferClient({ url: "http://127.0.0.1:1", tenantId: "t1", userId: "u", maxTries: 2 });
    expect(await errorOf(client.infer({ ...ASK, request_id: "nobody" }))).toMatchObject({ code: "connection_failed", status: null, retryable: true, requestId: "nobody" });
    await client.close();
  });

  it("is told of an outcome that it waits for, and looks for it where it cannot be told", async () => {
    const client = await open("http");
    const turns: Turn[] = [];
    gateway.play((turn) => { turns.push(turn); });
    for (const request_id of ["followed", "looked-for"]) await client.submit({ ...ASK, request_id });
    await vi.waitFor(() => { expect(turns).toHaveLength(2); }, WAIT);
    const looks = (id: string) => door.heard().split(`GET /requests/${id}?`).length - 1;
    const followed = client.wait("followed");
    await vi.waitFor(() => { expect(door.heard()).toContain("GET /requests/followed/events?"); }, WAIT);
    const lookedFor = client.wait("looked-for");
    await vi.waitFor(() => { expect([looks("looked-for") > 3, door.heard().includes("GET /requests/looked-for/events?")]).toEqual([true, true]); }, WAIT);
    expect(looks("followed")).toBe(1);
    await Promise.all(turns.map(({ complete }) => complete()));
    expect([(await followed).request_id, (await lookedFor).request_id, looks("followed")]).toEqual(["followed", "looked-for", 2]);
  });

  it("says that an id was never used", async () => {
    const client = await open("http");
    const errors = await Promise.all([client.outcome("never"), client.wait("never"), client.feedback("never", { score: 1, source: "user" })].map(errorOf));
    for (const error of errors) expect(error).toMatchObject({ code: "not_found", status: 404, retryable: false });
  });

  it("sends its key and trace, and no key that could be another header", async () => {
    const client = await open("http", { apiKey: "id.secret" });
    await client.infer(ASK);
    expect(door.heard()).not.toMatch(/traceparent/i); // the service begins a trace, and decides whether it is taken
    await client.infer(ASK, { traceparent: "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });
    expect(door.heard()).toMatch(/authorization: Bearer id\.secret/i);
    expect(door.heard()).toContain("traceparent: 00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    expect(await errorOf(open("http", { apiKey: "a\r\nb" }))).toMatchObject({ code: "invalid_request" });
  });
});

describe("over nats", () => {
  it("needs to know whose request it is", async () => {
    const client = await connectInferClient({ url: gateway.server.url });
    clients.push(client);
    expect(await errorOf(client.outcome("r-1"))).toMatchObject({ code: "invalid_request" });
    expect((await client.infer({ ...ASK, tenant_id: "t2", user_id: "u" })).tenant_id).toBe("t2");
  });

  it("does not take the publish of an outcome that the stream refused for the outcome", async () => {
    const client = await open("nats");
    const turn = turnOf("forged");
    const first = client.infer({ ...ASK, request_id: "forged" });
    const { complete } = await turn;
    const joined = client.wait("forged");
    await complete();
    await complete({ output: "another" });
    expect([(await first).output, (await joined).output, (await client.wait("forged")).output]).toEqual([ANSWER, ANSWER, ANSWER]);
  });

  it("says that nobody answers", async () => {
    expect(await errorOf(connectInferClient({ url: "nats://127.0.0.1:1" }))).toMatchObject({ code: "connection_failed", retryable: true });
    expect(await errorOf(connectInferClient({ url: gateway.server.url.replace("nats:", "tls:") }))).toMatchObject({ code: "connection_failed" }); // it has no TLS
  });
});

it.each([{ url: "ftp://host" }, { url: "http://user:secret@host" }, { url: "nats:// " }, { url: "http://host", nkeySeed: "S" }, { url: "nats://host", apiKey: "k" }, { url: "http://host", tenantId: "a.b" }, { url: "http://host", maxTries: 0 }])("does not connect with %j", async (options) => {
  expect(await errorOf(connectInferClient(options))).toMatchObject({ code: "invalid_request" });
});

function latch() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  return { open, opened };
}

interface FrontDoor {
  readonly url: string;
  /** Breaks all connections. */
  readonly cut: () => void;
  /** The next connection gets this. */
  readonly refuseNext: (reply: string) => void;
  /** All that clients sent. */
  readonly heard: () => string;
  readonly close: () => Promise<void>;
}
/** What stands before a gateway: forwards bytes, as a load balancer does. */
async function openFrontDoor({ hostname, port }: URL): Promise<FrontDoor> {
  const sockets = new Set<Socket>(), replies: string[] = [];
  let heard = "";
  const watch = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    return socket;
  };
  const cut = () => { for (const socket of sockets) socket.destroy(); };
  const server = createServer((socket) => {
    watch(socket).on("data", (data) => { heard += data.toString(); });
    const reply = replies.shift();
    if (reply !== undefined) return void socket.once("data", () => socket.end(reply));
    const behind = watch(connectSocket(Number(port), hostname));
    socket.pipe(behind).pipe(socket);
    socket.on("close", () => behind.destroy());
    behind.on("close", () => socket.destroy());
  });
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`, cut, heard: () => heard,
    refuseNext(reply) {
      cut(); // what is kept alive would be used again
      replies.push(reply);
    },
    close: () => new Promise((resolve) => { cut(); server.close(() => { resolve(); }); }),
  };
}
