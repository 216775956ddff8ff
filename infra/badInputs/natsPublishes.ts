/** Messages that a publisher writes straight to the broker: with a tenant's user, or with a service's, which may write for any tenant. */
import { type BadInput, CANARY, test } from "./badInput.ts";
import { goodBody } from "./httpBodies.ts";

export type NatsOutcome =
  /** The server refuses the publish to this user, and nothing is stored. */
  | { readonly kind: "violation" }
  /** The stream refuses it, with this error code. */
  | { readonly kind: "refused"; readonly code: number; readonly since?: string }
  /** It ends as a failed completion. */
  | { readonly kind: "failed"; readonly code: string }
  /** It ends as `deadline_exceeded`: failed where the deadline had passed when it was read, rejected where no tier can answer in what is left. */
  | { readonly kind: "late" }
  /** Its subject says for whom it would be: nobody is answered. */
  | { readonly kind: "deadLetter"; readonly reason: string }
  | { readonly kind: "answered" };

export interface BadPublish {
  readonly id: string;
  readonly input: string;
  readonly as: "tenant" | "service";
  /** `id`: of this case alone. Default: a request of tenant `t1`. */
  readonly subject?: (id: string) => string;
  readonly payload?: (id: string) => string | Uint8Array;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly expected: NatsOutcome;
  readonly note?: string;
}

const failed = (code: string) => ({ kind: "failed", code }) as const;
const BAD_SUBJECT = { kind: "deadLetter", reason: "bad_subject" } as const;
const VIOLATION = { kind: "violation" } as const;
const ANSWERED = { kind: "answered" } as const;
const over = (fields: object) => (id: string): string => JSON.stringify({ ...goodBody(id), ...fields });
const NO_CODE_OF_ITS_OWN = "As an empty body is over HTTP.";

export const subjectOfCase = (id: string): string => `infer.request.t1.${id}`;

export const BAD_PUBLISHES: readonly BadPublish[] = [
  { id: "N-73", input: "a literal `*` as id", as: "tenant", subject: () => "infer.request.t1.*", expected: BAD_SUBJECT },
  { id: "N-73", input: "a literal `*` as tenant", as: "service", subject: () => "infer.request.*.star", expected: BAD_SUBJECT },
  { id: "N-73", input: "a literal `>` as id", as: "tenant", subject: () => "infer.request.t1.>", expected: BAD_SUBJECT },
  { id: "N-74", input: "a token too many", as: "tenant", subject: (id) => `infer.request.t1.${id}.x`, expected: VIOLATION },
  { id: "N-74", input: "a token too few", as: "tenant", subject: () => "infer.request.t1", expected: VIOLATION },
  { id: "N-74", input: "an id with a character that no id has", as: "tenant", subject: () => "infer.request.t1.a%20b", expected: BAD_SUBJECT },
  { id: "N-74", input: "an id of 65 characters", as: "tenant", subject: () => `infer.request.t1.${"a".repeat(65)}`, expected: BAD_SUBJECT },
  { id: "N-75", input: "another tenant in the subject than the user's", as: "tenant", subject: (id) => `infer.request.t2.${id}`, expected: VIOLATION },
  { id: "N-76", input: "no tenant: `infer.request..x`", as: "tenant", subject: () => "infer.request..x", expected: VIOLATION },
  { id: "N-78", input: "nothing", as: "tenant", payload: () => "", expected: failed("invalid_json"), note: NO_CODE_OF_ITS_OWN },
  { id: "N-79", input: "text", as: "tenant", payload: () => CANARY, expected: failed("invalid_json") },
  { id: "N-79", input: "msgpack", as: "tenant", payload: () => new Uint8Array([0x81, 0xa5, 0x69, 0x6e, 0x70, 0x75, 0x74, 0xa2, 0x68, 0x69]), expected: failed("invalid_unicode"), note: "Bytes that are no UTF-8 have a code of their own." },
  { id: "N-79", input: "gzip", as: "tenant", payload: () => new Uint8Array([0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00]), expected: failed("invalid_unicode"), note: "Nothing is inflated." },
  { id: "N-80", input: "an array", as: "tenant", payload: () => "[]", expected: failed("invalid_request") },
  { id: "N-80", input: "`null`", as: "tenant", payload: () => "null", expected: failed("invalid_request") },
  { id: "N-80", input: "a number", as: "tenant", payload: () => "7", expected: failed("invalid_request") },
  { id: "N-81", input: "a version that is not known", as: "tenant", payload: over({ type: "request.v99" }), expected: failed("unsupported_version") },
  { id: "N-82", input: "no budget", as: "tenant", payload: over({ budget: undefined }), expected: failed("invalid_request") },
  { id: "N-83", input: "the key `__proto__`", as: "tenant", payload: (id) => `{"__proto__":{"budget":9},${JSON.stringify(goodBody(id)).slice(1)}`, expected: failed("invalid_json") },
  { id: "N-84", input: "1 MiB", as: "tenant", payload: (id) => JSON.stringify(goodBody(id)).padEnd(2 ** 20), expected: ANSWERED, note: "Blank at its end: what it holds is small. The broker takes 1 MiB." },
  { id: "N-85", input: "another id in the body than in the subject", as: "tenant", payload: over({ request_id: "another" }), expected: failed("invalid_request") },
  { id: "N-86", input: "another tenant in the body than in the subject", as: "tenant", payload: over({ tenant_id: "t2" }), expected: failed("invalid_request") },
  { id: "N-89", input: "`Nats-Rollup: all`", as: "tenant", headers: [["Nats-Rollup", "all"]], expected: { kind: "refused", code: 10_111 } },
  { id: "N-89", input: "`Nats-Expected-Stream` of another stream", as: "tenant", headers: [["Nats-Expected-Stream", "COMPLETIONS"]], expected: { kind: "refused", code: 10_060 } },
  { id: "N-89", input: "`Nats-TTL`", as: "tenant", headers: [["Nats-TTL", "1s"]], expected: { kind: "refused", code: 10_166, since: "2.11" }, note: "Servers before 2.11 do not know it and keep the message as any other." },
  { id: "N-90", input: "a header of 4 KB", as: "tenant", headers: [["X-Long", `${CANARY}${"x".repeat(4_096)}`]], expected: ANSWERED },
  { id: "N-90", input: "a `traceparent` that is none", as: "tenant", headers: [["traceparent", CANARY]], expected: ANSWERED },
  { id: "N-93", input: "a completion", as: "tenant", subject: (id) => `infer.completion.t1.${id}`, expected: VIOLATION },
  { id: "N-94", input: "a deadline that has passed when it is read", as: "tenant", payload: over({ deadline_ms: 1 }), expected: { kind: "late" }, note: "Deadlines are durations from acceptance on, by the broker's clock, so none can lie in the past." },
  { id: "N-95", input: "a deadline in ten years", as: "tenant", payload: over({ deadline_ms: 315_360_000_000 }), expected: ANSWERED, note: "Cut to INFER_MAX_DEADLINE_MS." },
  { id: "N-96", input: "`created_at`, in the future", as: "tenant", payload: over({ created_at: "2100-01-01T00:00:00Z" }), expected: failed("invalid_request"), note: "There is no such field: the broker's time counts." },
  { id: "N-96", input: "`accepted_at_ms`, negative", as: "tenant", payload: over({ accepted_at_ms: -1 }), expected: failed("invalid_request") },
];

const E2E = "infra/e2e/badInputs.test.ts", TENANTS = "infra/nats/tenants.integration.test.ts", ROLES = "infra/nats/roles.integration.test.ts";
const DEAD_LETTERS = test("infra/e2e/natsDoor.test.ts", "what cannot be read ends in DEAD_LETTERS with its reason, and as a failed completion with an audit row");
const MORE: Readonly<Record<string, readonly (typeof DEAD_LETTERS)[]>> = {
  "N-73": [test("infra/e2e/natsDoor.test.ts", "a subject that holds no valid id is dead-lettered as bad_subject and has no completion")],
  "N-74": [test(TENANTS, "subjects with a token too many, too few or without a name")],
  "N-75": [test(TENANTS, "another tenant's requests and feedback")],
  "N-93": [test(TENANTS, "what only services say, about its own requests too"), test(ROLES, "cannot ask, decide, cancel or read requests")],
  "N-94": [test("router/routeEvent.integration.test.ts", "past its deadline ends without a call")],
  "N-95": [test("shared/contracts/request.test.ts", "cuts a deadline of ten years")],
};

const ELSEWHERE: readonly BadInput[] = [
  { id: "N-77", input: "a subject of 5000 characters", expected: "the server ends that connection; others go on", tests: [test(E2E, "N-77, N-84")] },
  { id: "N-84", input: "1 MiB and a byte", expected: "the server ends that connection; others go on", tests: [test(E2E, "N-77, N-84")] },
  { id: "N-87", input: "another tenant's request id", expected: "another request", tests: [test(E2E, "N-87, N-88")] },
  { id: "N-88", input: "another tenant's `Nats-Msg-Id`", expected: "no effect on the other tenant", tests: [test(E2E, "N-87, N-88")], note: "No publisher of ours sets one: a message is known by its subject." },
  { id: "N-90", input: "`traceparent` twice, and in another case", expected: "the first one counts; a name in another case is another header", tests: [test(E2E, "N-90: of equal headers the first one counts")] },
  { id: "N-91", input: "a reply subject of somebody else, or of the server's API", expected: "nothing is ever sent there", tests: [test(TENANTS, "an answer that a tenant wants sent to %s gets nowhere: neither a PubAck nor a stored message"), test(TENANTS, "a publish with the reply subject %s is refused as a whole")] },
  { id: "N-92", input: "forged acks", expected: "permission violation", tests: [test(TENANTS, "what others consume")] },
  { id: "N-93", input: "results, jobs and dead letters of a tenant's; a worker's of another tier", expected: "permission violation", tests: [test(TENANTS, "what only services say, about its own requests too"), test(ROLES, "cannot take or ack another tier's jobs, or write its state")] },
  { id: "N-97", input: "a publish without a PubAck while the connection is away", expected: "may be lost", tests: [test("shared/messaging/submitRequest.integration.test.ts", "is accept_unknown when the broker does not answer, and what came of it is known by asking again")], note: "What has no PubAck was not accepted. The client waits for one and says `accept_unknown` without it; it has no other way to publish." },
  { id: "N-98", input: "more publishes per second than a tenant may have", expected: "rejected: `rate_limited`; the other tenants' are answered", tests: [test("infra/e2e/limits.test.ts", "hasNats: true")], note: "The flood itself is bounded by the stream's `max_bytes`: a full stream refuses everybody's publishes with `storage_full`, and loses nothing." },
  { id: "N-99", input: "making a consumer, or reading a stream's state, as a tenant", expected: "permission violation", tests: [test(TENANTS, '["consumers", STREAMS.flatMap'), test(TENANTS, '["streams", STREAMS.flatMap')] },
  { id: "N-100", input: "subscriptions to `>`, `_INBOX.>` and other tenants' outcomes", expected: "permission violation", tests: [test(TENANTS, "the server refuses a tenant's subscriptions to %s")] },
];

function told({ expected }: BadPublish): string {
  switch (expected.kind) {
    case "violation": return "permission violation";
    case "refused": return `refused by the stream: ${expected.code}`;
    case "failed": return `failed: \`${expected.code}\``;
    case "late": return "failed, or rejected where it is read a moment before: `deadline_exceeded`";
    case "deadLetter": return `DEAD_LETTERS, \`${expected.reason}\``;
    case "answered": return "an answer";
  }
}

export const listedPublishes = (): BadInput[] => [
  ...BAD_PUBLISHES.map((one) => ({
    id: one.id, input: one.input, expected: told(one), tests: [test(E2E, "it.each(BAD_PUBLISHES)"), ...(MORE[one.id] ?? []), ...(one.expected.kind === "failed" && !(one.id in MORE) ? [DEAD_LETTERS] : [])], ...(one.note === undefined ? {} : { note: one.note }),
  })),
  ...ELSEWHERE,
];
