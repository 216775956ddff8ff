/** Files and variables that a process must not start with: it ends with exit code 78 and says where, what and why. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type BadInput, test, type TestReference } from "./badInput.ts";

const TIERS = readFileSync(join(import.meta.dirname, "../config/tiers.yaml"), "utf8");
const HOSTED = readFileSync(join(import.meta.dirname, "../config/tiers.hosted.yaml"), "utf8");

export interface BadTierFile {
  readonly id: string;
  readonly input: string;
  /** `null`: there is none. */
  readonly content: string | Buffer | null;
  /** What one of the problems has to say, with the place. */
  readonly reason: RegExp;
  readonly note?: string;
}
export interface BadEnvironment {
  readonly id: string;
  readonly input: string;
  readonly role: "gateway" | "router" | "worker";
  readonly variables: Readonly<Record<string, string>>;
  readonly reason: RegExp;
  readonly note?: string;
}

/** What is replaced must be there, so that no case passes whose mistake was never made. */
function changed(file: string, from: string, to: string): string {
  if (!file.includes(from)) throw new Error(`the tier file has no ${from}`);
  return file.replace(from, () => to); // as it is: `$` means nothing in it
}
const url = (address: string): string => changed(HOSTED, "base_url: http://127.0.0.1:11434/v1", `base_url: "${address}"`);
const BOMB = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${["b", "c", "d", "e", "f", "g"].map((key, i) => `${key}: &${key} [${`*${"abcdefg"[i] ?? ""},`.repeat(9)}]`).join("\n")}\n`;
const UNITS = "Names of fields end in their unit, and a number needs none.";

export const BAD_TIER_FILES: readonly BadTierFile[] = [
  { id: "C-125", input: "no file", content: null, reason: /ENOENT.*INFER_TIERS_FILE names the file/ },
  { id: "C-126", input: "an empty file", content: "", reason: /expected object/ },
  { id: "C-127", input: "a bomb of YAML aliases", content: BOMB, reason: /alias/i },
  { id: "C-128", input: "a misspelt key", content: changed(TIERS, "timeout_ms: 1000", "timeout_ms: 1000\n    max_retires: 3"), reason: /^tiers\.0: .*max_retires/ },
  { id: "C-129", input: "`30s` for milliseconds", content: changed(TIERS, "timeout_ms: 1000", "timeout_ms: 30s"), reason: /^tiers\.0\.timeout_ms: .*expected number/, note: UNITS },
  { id: "C-129", input: "seconds for milliseconds", content: changed(TIERS, "timeout_ms: 1000", "timeout_ms: 1"), reason: /^tiers\.0\.timeout_ms: .*>=10/ },
  { id: "C-130", input: "a price per 1,000 tokens, by its size", content: changed(TIERS, "usd_per_million_input_tokens: 2.50", "usd_per_million_input_tokens: 25000"), reason: /^tiers\.2\.price\.usd_per_million_input_tokens: .*per 1,000 tokens/ },
  { id: "C-131", input: "a negative price", content: changed(TIERS, "usd_per_million_output_tokens: 10.00", "usd_per_million_output_tokens: -10"), reason: /^tiers\.2\.price\.usd_per_million_output_tokens: .*>=0/ },
  { id: "C-131", input: "a price that is NaN", content: changed(TIERS, "usd_per_million_output_tokens: 10.00", "usd_per_million_output_tokens: .nan"), reason: /^tiers\.2\.price\.usd_per_million_output_tokens: .*NaN/ },
  { id: "C-133", input: "a tier without a backend", content: changed(TIERS, "backend: { kind: local, model: mail-large }", "max_tries: 1"), reason: /^tiers\.2\.backend: a tier has either a backend or replicas/ },
  { id: "C-134", input: "two tiers of one name", content: changed(TIERS, "name: medium", "name: small"), reason: /^tiers: two are named small/ },
  ...["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "javascript:alert(1)", "127.0.0.1:8080", ""].map((address): BadTierFile => ({ id: "C-135", input: `\`${address}\` as a backend's address`, content: url(address), reason: /^tiers\.0\.backend\.base_url: / })),
  { id: "C-135", input: "a user and password in a backend's address", content: url("http://user:pass@127.0.0.1/v1"), reason: /^tiers\.0\.backend\.base_url: must not hold a user or password/ },
  { id: "C-141", input: "a key in the file", content: changed(HOSTED, "api_key: { env: OPENAI_API_KEY }", "api_key: sk-0123456789"), reason: /^tiers\.1\.backend\.api_key: / },
  { id: "C-144", input: "a pattern that repeats what repeats", content: changed(TIERS, "timeout_ms: 1000", "timeout_ms: 1000\n    confidence: { default: { kind: tier_agreement, answer_pattern: '(a+)+$' } }"), reason: /^tiers\.0\.confidence\.default\.answer_pattern: repeats without bound/ },
  { id: "C-144", input: "a pattern that is none", content: changed(TIERS, "timeout_ms: 1000", "timeout_ms: 1000\n    confidence: { default: { kind: tier_agreement, answer_pattern: '(a' } }"), reason: /^tiers\.0\.confidence\.default\.answer_pattern: is no regular expression/ },
  { id: "C-148", input: "a file that is no UTF-8", content: Buffer.concat([Buffer.from(TIERS), Buffer.from("# \xff\xfe", "latin1")]), reason: /: not UTF-8; INFER_TIERS_FILE names the file/ },
  { id: "C-148", input: "a file of 5 MB", content: `${TIERS}\n# ${"x".repeat(5 * 1024 ** 2)}`, reason: /: larger than 4 MiB; INFER_TIERS_FILE names the file/ },
];
/** And what is only another way to write a good one. */
export const GOOD_TIER_FILES = { "CRLF at the ends of lines": TIERS.replaceAll("\n", "\r\n"), "a byte order mark": `\ufeff${TIERS}` };

export const BAD_ENVIRONMENTS: readonly BadEnvironment[] = [
  { id: "C-129", input: "a wait with its unit", role: "router", variables: { INFER_SWEEP_GRACE_MS: "30s" }, reason: /^INFER_SWEEP_GRACE_MS: must be a number/, note: UNITS },
  { id: "C-141", input: "keys asked for without the secret that they are checked with", role: "gateway", variables: { INFER_AUTH: "keys" }, reason: /^INFER_SECRET: API keys are checked with it/ },
  { id: "C-141", input: "keys asked for without the key that routers sign with", role: "router", variables: { INFER_AUTH: "keys" }, reason: /^INFER_SNAPSHOT_KEYS: routers sign with it/ },
  { id: "C-143", input: "`changeme` as the secret", role: "gateway", variables: { INFER_AUTH: "keys", INFER_SECRET: "changeme" }, reason: /^INFER_SECRET: must have at least 32 characters/, note: "No password has a default: Compose refuses to start without one." },
  { id: "C-143", input: "a gateway without keys that others can reach", role: "gateway", variables: { INFER_HTTP_HOST: "0.0.0.0" }, reason: /^INFER_HTTP_HOST: without API keys the gateway listens on loopback only/ },
  { id: "C-143", input: "a gateway without keys that others can administrate", role: "gateway", variables: { INFER_GATEWAY_ADMIN_HOST: "0.0.0.0" }, reason: /^INFER_GATEWAY_ADMIN_HOST: without API keys the gateway is administrated from loopback only/ },
];

const RUN = test("infra/badInputs/configurations.test.ts", "it.each(BAD_TIER_FILES)"), RUN_ENVIRONMENT = test("infra/badInputs/configurations.test.ts", "it.each(BAD_ENVIRONMENTS)");
const EXITS = test("infra/e2e/badInputs.test.ts", "end a process with 78");
const TOPOLOGY = "shared/messaging/ensureTopology.integration.test.ts";
const ELSEWHERE: readonly BadInput[] = [
  { id: "C-131", input: "a price of 0", expected: "taken", tests: [test("shared/contracts/tiers.test.ts", "no price, which would be free")], note: "It has to be written, with its source: what is left out is never free." },
  { id: "C-132", input: "a cycle in escalation", expected: "cannot be written", tests: [test("infra/config/tiers.test.ts", "lists its tiers cheapest first")], note: "Tiers are a list, and a request runs on each of them once at most." },
  { id: "C-134", input: "two tenants of one name", expected: "`conflict`", tests: [test("shared/tenancy/tenancy.integration.test.ts", "are made once, and what was never made cannot be changed")], note: "Tenants are in Postgres, in no file." },
  { id: "C-135", input: "a private, link-local or loopback address of a backend, however it is written", expected: "exit 78 of its worker, unless `INFER_BACKEND_ALLOW` names it, or it is loopback without API keys", tests: [test("workers/backends/reach.integration.test.ts", "is refused by the worker with %s")], note: "A name that resolves to one is refused at each connection, as `backend_refused`; no redirect is followed." },
  { id: "C-136", input: "a tier's `timeout_ms` beyond any deadline", expected: "taken", tests: [test("workers/runAttempt.test.ts", "what a call that was cut off had made by then is charged")], note: "The request's deadline ends a call earlier, whatever the tier's time-out is." },
  { id: "C-137", input: "a lease shorter than the heartbeat that renews it", expected: "cannot be written", tests: [test("shared/messaging/consumePerSlot.integration.test.ts", "keeps a long job alive beyond its lease: it runs once")], note: "A heartbeat is a third of its lease, which no variable sets." },
  { id: "C-138", input: "a duplicate window longer than a stream's age", expected: "cannot be written; the server refuses it too", tests: [test(TOPOLOGY, "creates every stream, consumer and bucket, as the broker keeps them, and is harmless when repeated")], note: "No variable sets it: messages are known by their subjects." },
  { id: "C-139", input: "streams that may grow beyond the store", expected: "refused by the server; the shipped ones fit", tests: [test("infra/badInputs/configurations.test.ts", "C-139")] },
  { id: "C-140", input: "3 replicas on one node", expected: "exit 1 of `inferctl topology`, says that it needs a cluster", tests: [test(TOPOLOGY, "says that replicas need a cluster, and prints the difference for streams and buckets that have others")] },
  { id: "C-142", input: "a file with a key or a seed that others can read", expected: "exit 78, names the file", tests: [test("shared/runtime/apiKey.test.ts", "open: others can read or change it"), test("shared/runtime/natsSeed.test.ts", "others can read or change it.*chmod 600")] },
  { id: "C-143", input: "a password with a default in the Compose file", expected: "the file's own test fails", tests: [test("infra/docker/compose.test.ts", "a password with a default")] },
  { id: "C-145", input: "a limit with a rate of 0 or a burst below 1", expected: "refused", tests: [test("infra/badInputs/configurations.test.ts", "C-145")], note: "Limits are settings of a tenant, in no file." },
  { id: "C-146", input: "a routing model that cannot be used, activated while the router runs", expected: "the one before it is kept, and it is said once", tests: [test("router/followModel.integration.test.ts", "keeps the model before it when the active one is of %s, and says so once")], note: "Tier files and variables are read at start alone." },
  { id: "C-147", input: "a stream that exists with other settings", expected: "refused with the difference; changed only when told to", tests: [test(TOPOLOGY, "refuses a stream with other settings and prints the difference, and changes it only when told to")] },
];

const refused = (one: { readonly id: string; readonly input: string; readonly note?: string }, tests: readonly TestReference[]): BadInput => ({
  id: one.id, input: one.input.replace("``", "nothing"), expected: "exit 78, names the place", tests, ...(one.note === undefined ? {} : { note: one.note }),
});
export const listedConfigurations = (): BadInput[] => [
  ...BAD_TIER_FILES.map((one) => refused(one, [RUN, ...(one.id === "C-125" ? [EXITS] : [])])),
  ...BAD_ENVIRONMENTS.map((one) => refused(one, [RUN_ENVIRONMENT])),
  ...ELSEWHERE,
];
