/** Requests that no HTTP client would send, as bytes: headers, paths and transport. */
import { type BadInput, CANARY, test, type TestReference } from "./badInput.ts";
import { goodBody } from "./httpBodies.ts";

export interface RawContext {
  readonly host: string;
  /** Of tenant `t1`, with the role `infer`. */
  readonly key: string;
  /** Of this case alone. */
  readonly requestId: string;
}
export interface BadRequest {
  readonly id: string;
  readonly input: string;
  readonly bytes: (context: RawContext) => string;
  readonly status: number;
  /** Of the error, where the answer is the API's own. */
  readonly code?: string;
  /** Sent, and then nothing more: a time-out of the server ends it. */
  readonly isLeftOpen?: boolean;
  readonly note?: string;
}

const JSON_TYPE = "Content-Type: application/json";
const bodyOf = ({ requestId }: RawContext): string => JSON.stringify(goodBody(requestId));
interface Parts {
  readonly line?: string;
  readonly headers?: readonly string[];
  readonly type?: string | null;
  readonly authorization?: string | null;
  readonly length?: string | null;
  readonly body?: string;
}
/** A good request but for what is said. */
function post(context: RawContext, { line = "POST /infer HTTP/1.1", headers = [], type = JSON_TYPE, authorization = `Authorization: Bearer ${context.key}`, body = bodyOf(context), length = `Content-Length: ${Buffer.byteLength(body)}` }: Parts): string {
  return [line, `Host: ${context.host}`, "Connection: close", ...[authorization, type, length].filter((header) => header !== null), ...headers, "", body].join("\r\n");
}
const get = (path: string, parts: Parts = {}) => (context: RawContext): string => post(context, { line: `GET ${path} HTTP/1.1`, type: null, length: null, body: "", ...parts });
const NODES_OWN = "Node's HTTP parser answers, without a body of ours.";

export const BAD_REQUESTS: readonly BadRequest[] = [
  { id: "H-41", input: "no content type", bytes: (c) => post(c, { type: null }), status: 415, code: "unsupported_media_type" },
  { id: "H-42", input: "`text/plain`", bytes: (c) => post(c, { type: "Content-Type: text/plain" }), status: 415, code: "unsupported_media_type" },
  { id: "H-43", input: "`application/xml`", bytes: (c) => post(c, { type: "Content-Type: application/xml" }), status: 415, code: "unsupported_media_type" },
  { id: "H-44", input: "`application/jsonx`", bytes: (c) => post(c, { type: "Content-Type: application/jsonx" }), status: 415, code: "unsupported_media_type" },
  { id: "H-45", input: "`charset=utf-16`", bytes: (c) => post(c, { type: `${JSON_TYPE}; charset=utf-16` }), status: 415, code: "unsupported_media_type" },
  { id: "H-46", input: "`Content-Encoding: gzip`", bytes: (c) => post(c, { headers: ["Content-Encoding: gzip"] }), status: 415, code: "unsupported_media_type" },
  { id: "H-47", input: "a `Content-Length` larger than the body", bytes: (c) => post(c, { length: `Content-Length: ${Buffer.byteLength(bodyOf(c)) + 10}` }), status: 408, code: "request_timeout", isLeftOpen: true },
  { id: "H-48", input: "a `Content-Length` smaller than the body", bytes: (c) => post(c, { length: "Content-Length: 5" }), status: 400 },
  { id: "H-49", input: "`Content-Length: abc`", bytes: (c) => post(c, { length: "Content-Length: abc" }), status: 400, note: NODES_OWN },
  { id: "H-50", input: "both `Content-Length` and `Transfer-Encoding`", bytes: (c) => post(c, { headers: ["Transfer-Encoding: chunked"] }), status: 400, note: NODES_OWN },
  { id: "H-51", input: "a chunk whose length is none", bytes: (c) => post(c, { length: "Transfer-Encoding: chunked", body: "zz\r\nhello\r\n" }), status: 400, note: NODES_OWN },
  { id: "H-52", input: "a header of 20 KB", bytes: (c) => post(c, { headers: [`X-Long: ${CANARY}${"x".repeat(20_000)}`] }), status: 431, note: NODES_OWN },
  { id: "H-53", input: "2000 headers", bytes: (c) => post(c, { headers: Array.from({ length: 2_000 }, (_, i) => `X-${i}: 1`) }), status: 431, note: NODES_OWN },
  { id: "H-54", input: "lines that end with LF alone", bytes: (c) => post(c, {}).replaceAll("\r\n", "\n"), status: 400, note: NODES_OWN },
  { id: "H-54", input: "a header that goes on in the next line", bytes: (c) => post(c, { headers: ["X-Folded: a", " b"] }), status: 400, note: NODES_OWN },
  { id: "H-55", input: "no `Host`", bytes: (c) => post(c, {}).replace(/Host: [^\r]+\r\n/, ""), status: 400, note: NODES_OWN },
  { id: "H-56", input: "HTTP/0.9", bytes: () => "GET /healthz\r\n\r\n", status: 200, note: "As any other request without a key." },
  { id: "H-57", input: "a TLS hello on the plain port", bytes: () => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", status: 400, note: NODES_OWN },
  { id: "H-58", input: "headers that come slowly", bytes: (c) => post(c, {}).slice(0, 40), status: 408, isLeftOpen: true, note: NODES_OWN },
  { id: "H-60", input: "an unknown method", bytes: (c) => post(c, { line: "BREW /infer HTTP/1.1" }), status: 400, note: NODES_OWN },
  { id: "H-60", input: "GET where there is only POST", bytes: get("/infer"), status: 405, code: "method_not_allowed" },
  { id: "H-61", input: "`%E0%A4%A` in the path", bytes: get("/requests/%E0%A4%A"), status: 400, code: "invalid_request" },
  { id: "H-62", input: "a parameter of 200 characters", bytes: get(`/requests/${"a".repeat(200)}`), status: 414, code: "invalid_request" },
  { id: "H-63", input: "`%2e%2e%2fetc` as a parameter", bytes: get("/requests/%2e%2e%2fetc"), status: 400, code: "invalid_request" },
  { id: "H-64", input: "a path with two slashes", bytes: (c) => post(c, { line: "POST //infer HTTP/1.1" }), status: 404, code: "not_found" },
  { id: "H-64", input: "a path in capitals", bytes: (c) => post(c, { line: "POST /INFER HTTP/1.1" }), status: 404, code: "not_found" },
  { id: "H-64", input: "a path with `;x`", bytes: (c) => post(c, { line: "POST /infer;x HTTP/1.1" }), status: 404, code: "not_found" },
  { id: "H-64", input: "a path with two slashes, without a key", bytes: (c) => post(c, { line: "POST //v1//chat/completions HTTP/1.1", authorization: null }), status: 404, code: "not_found", note: "Never around the key: there is no such path." },
  { id: "H-65", input: "no `Authorization`", bytes: (c) => post(c, { authorization: null }), status: 401, code: "unauthenticated" },
  { id: "H-66", input: "`Bearer` without a key", bytes: (c) => post(c, { authorization: "Authorization: Bearer " }), status: 401, code: "unauthenticated" },
  { id: "H-66", input: "`Bearer` with two keys", bytes: (c) => post(c, { authorization: `Authorization: Bearer ${c.key} ${c.key}` }), status: 401, code: "unauthenticated" },
  { id: "H-66", input: "a key of 5 KB", bytes: (c) => post(c, { authorization: `Authorization: Bearer ${CANARY}${"x".repeat(5_000)}` }), status: 401, code: "unauthenticated" },
  { id: "H-66", input: "a key of 10 KB", bytes: (c) => post(c, { authorization: `Authorization: Bearer ${CANARY}${"x".repeat(10_000)}` }), status: 431, note: "All headers of a request together have 8 KiB." },
  { id: "H-66", input: "a key that is not ASCII", bytes: (c) => post(c, { authorization: `Authorization: Bearer ${c.key}é` }), status: 401, code: "unauthenticated" },
  { id: "H-67", input: "a key as ours are, that is none of this service's", bytes: (c) => post(c, { authorization: `Authorization: Bearer cao_${"a".repeat(12)}_${"b".repeat(43)}` }), status: 401, code: "unauthenticated" },
  { id: "H-67", input: "a key of another service", bytes: (c) => post(c, { authorization: `Authorization: Bearer sk-${CANARY}` }), status: 401, code: "unauthenticated" },
  { id: "H-70", input: "`X-Forwarded-For` and `Forwarded` that lie", bytes: (c) => post(c, { headers: ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;host=evil.example"] }), status: 200, note: "No proxy is trusted: neither header is read." },
  { id: "H-71", input: "an empty `Idempotency-Key`", bytes: (c) => post(c, { headers: ["Idempotency-Key: "] }), status: 400, code: "invalid_request" },
  { id: "H-71", input: "an `Idempotency-Key` of 300 characters", bytes: (c) => post(c, { headers: [`Idempotency-Key: ${"x".repeat(300)}`] }), status: 400, code: "invalid_request" },
  { id: "H-71", input: "an `Idempotency-Key` with a line break: the rest is a header of its own", bytes: (c) => post(c, { headers: [`Idempotency-Key: ${c.requestId}\r\nX-Injected: 1`] }), status: 200 },
  { id: "H-72", input: "`deadline_ms: 0`", bytes: (c) => post(c, { body: JSON.stringify({ ...goodBody(c.requestId), deadline_ms: 0 }) }), status: 400, code: "invalid_request", note: "There is no header `X-Deadline-Ms` at `/infer`; `/v1` has `X-Optimizer-Deadline-Ms`." },
  { id: "H-72", input: "`deadline_ms: -5`", bytes: (c) => post(c, { body: JSON.stringify({ ...goodBody(c.requestId), deadline_ms: -5 }) }), status: 400, code: "invalid_request" },
  { id: "H-72", input: "`deadline_ms: 1e12`", bytes: (c) => post(c, { body: JSON.stringify({ ...goodBody(c.requestId), deadline_ms: 1e12 }) }), status: 200, note: "Cut to INFER_MAX_DEADLINE_MS." },
  ...["0", "-5", "NaN", "Infinity", "1.5", ""].map((text): BadRequest => ({
    id: "H-72", input: `\`X-Optimizer-Deadline-Ms: ${text}\` at \`/v1\``, status: 400, code: text === "NaN" || text === "" || text === "Infinity" || text === "1.5" ? "invalid_type" : "invalid_value",
    bytes: (c) => post(c, { line: "POST /v1/chat/completions HTTP/1.1", headers: [`X-Optimizer-Deadline-Ms: ${text}`], body: JSON.stringify({ model: "auto", messages: [{ role: "user", content: `${CANARY} hi` }] }) }),
  })),
  { id: "H-167", input: "a `traceparent` that is none", bytes: (c) => post(c, { headers: [`traceparent: ${CANARY}`] }), status: 200 },
  { id: "H-168", input: "`X-Request-Id: *.>`", bytes: (c) => post(c, { headers: [`X-Request-Id: *.>${CANARY}`], body: JSON.stringify({ ...goodBody(c.requestId), request_id: undefined }) }), status: 200 },
];

const RUN: TestReference = test("infra/e2e/badInputs.test.ts", "BAD_REQUESTS.filter");
const MORE: Readonly<Record<string, readonly TestReference[]>> = {
  "H-45": [test("producers/gateway/badInputs.test.ts", "H-45 of another charset, in quotes")],
  "H-60": [test("producers/gateway/badInputs.test.ts", "H-60 GET /infer")],
  "H-64": [test("producers/gateway/badInputs.test.ts", "H-64 %s is 404")],
  "H-65": [test("producers/gateway/callers.test.ts", "H-65, H-66: %s is told to send one")],
  "H-66": [test("shared/tenancy/keyText.test.ts", "tells a secret from all others, and knows none of an unknown key")],
  "H-70": [test("producers/gateway/badInputs.test.ts", "H-70 X-Forwarded-Host and -For change nothing")],
  "H-71": [test("producers/gateway/badInputs.test.ts", "H-71 Idempotency-Key %s is 400")],
  "H-167": [test("producers/gateway/app.test.ts", "starts a trace for a caller whose traceparent is garbage")],
};

const told = ({ status, code }: BadRequest): string => `${status}${code === undefined ? "" : ` \`${code}\``}`;

/** Beside them, what other tests hold. */
const ELSEWHERE: readonly BadInput[] = [
  { id: "H-59", input: "1000 connections that say nothing", expected: "ended after 8 s with 408; others are served meanwhile", tests: [test("infra/e2e/badInputs.test.ts", "H-59"), test("producers/gateway/connections.integration.test.ts", "H-59")], note: "At most `INFER_MAX_CONNECTIONS`: beyond, who comes ends the one that is idle for longest." },
  { id: "H-65", input: "no `Authorization` where nobody is asked for a key", expected: "200", tests: [test("producers/gateway/admin.integration.test.ts", "needs no key where nobody is asked for one")] },
  { id: "H-68", input: "a key that was revoked", expected: "401 within the time that keys are kept in memory", tests: [test("producers/gateway/admin.integration.test.ts", "tells a key once, and what it made works until it is revoked"), test("shared/tenancy/tenancy.integration.test.ts", "no longer knows a key that was revoked or has expired")] },
  { id: "H-69", input: "a valid key while Postgres is down", expected: "200 where it was seen before, else 503 `database_unavailable`", tests: [test("shared/tenancy/tenancy.integration.test.ts", "goes on with keys it has seen when Postgres is gone, and says so of others"), test("producers/gateway/callers.test.ts", "that nobody can look up now is an outage, never a bad key")] },
  { id: "H-71", input: "an `Idempotency-Key` that was used for another body", expected: "422 `idempotency_mismatch`", tests: [test("producers/gateway/idempotency.integration.test.ts", "with another body is a 422, in flight, after its end, and when COMPLETIONS alone remembers it")] },
  { id: "H-71", input: "an `Idempotency-Key` whose request is in flight", expected: "waited for; 409 `idempotency_in_progress` when it has no outcome by its deadline", tests: [test("producers/gateway/inference.test.ts", "is in progress for whoever repeated it and waited until its deadline")] },
  { id: "H-71", input: "an `Idempotency-Key` of another tenant", expected: "another request", tests: [test("shared/messaging/submitRequest.integration.test.ts", "lets every tenant have the id for itself")] },
];

export const listedRequests = (): BadInput[] => [
  ...BAD_REQUESTS.map((request) => ({
    id: request.id, input: request.input, expected: told(request), tests: [RUN, ...(MORE[request.id] ?? [])], ...(request.note === undefined ? {} : { note: request.note }),
  })),
  ...ELSEWHERE,
];
