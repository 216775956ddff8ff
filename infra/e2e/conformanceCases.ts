/**
 * What three clients see of the gateway, and for reference of the model's server itself. Each case says in a few words how it
 * ended, and what that has to be; docs/openai-compatibility.md has the same table.
 */
import { expect } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import type { BilledCall, BillReply, CallList } from "#infra/recorded/bill.ts";
import type { Faults } from "#infra/recorded/faults.ts";
import { recordedAnswers } from "#infra/recorded/recordedAnswers.ts";

import { type Answer, type Ask, type Client, CLIENT_NAMES, type ClientName } from "./conformanceClients.ts";

export const MODEL = "solid";
/** Asked where `MODEL` does not do. */
export const NEXT_MODEL = "sturdy";
export const LONG_TEXT = Array.from({ length: 40 }, (_, i) => `word${i}`).join(" ");
const JSON_TEXT = '{"colour":"red"}';
export const QUERIES = { look: "Look here.", lookTwice: "Look here and there.", right: "Name a colour.", wrong: "Name a colour, badly." };
export const seen = (at: string): string => `Seen ${at}.`;
/** Long enough that half of their arguments are several pieces. */
export const LOOKS = [{ id: "call_1", input: { at: "here, in the house behind the lake" } }, { id: "call_2", input: { at: "there, under the tree in front of it" } }] as const;
const looking = (most: number) => ({ text: null, calls: LOOKS.slice(0, most).map(({ id, input }) => ({ id, name: "look", arguments: JSON.stringify(input) })) });
const TOKENS = { prompt_tokens: 10, completion_tokens: 40, confidence: 0.95, cost_usd: 0.00005 };
const [COUNT, COLOUR, PONDER, TALK] = ["Count.", "Name a colour as JSON.", "Ponder.", "Talk for a minute."] as const;
export const ANSWERS = recordedAnswers([
  { id: "count", query: COUNT, tiers: { [MODEL]: { ...TOKENS, latency_ms: 200, answer: LONG_TEXT } } },
  { id: "colour", query: COLOUR, tiers: { [MODEL]: { ...TOKENS, latency_ms: 0, answer: JSON_TEXT } } },
  { id: "ponder", query: PONDER, tiers: { [MODEL]: { ...TOKENS, latency_ms: 1_500, answer: LONG_TEXT } } },
  { id: "talk", query: TALK, tiers: { [MODEL]: { ...TOKENS, latency_ms: 60_000, answer: LONG_TEXT } } },
  { id: "look", query: QUERIES.look, tiers: { [MODEL]: { ...TOKENS, latency_ms: 200 } } },
  { id: "look twice", query: QUERIES.lookTwice, tiers: { [MODEL]: { ...TOKENS, latency_ms: 200 } } },
  ...LOOKS.map(({ id, input }) => ({ id: `seen ${id}`, query: seen(input.at), tiers: { [MODEL]: { ...TOKENS, latency_ms: 0, answer: LONG_TEXT } } })),
  { id: "right", query: QUERIES.right, tiers: { [MODEL]: { ...TOKENS, latency_ms: 0, answer: JSON_TEXT } } },
  { id: "wrong", query: QUERIES.wrong, tiers: { [MODEL]: { ...TOKENS, latency_ms: 0, answer: '{"colour":7}' }, [NEXT_MODEL]: { ...TOKENS, latency_ms: 0, answer: JSON_TEXT } } },
], new Map([["look", new Map([[MODEL, looking(1)]])], ["look twice", new Map([[MODEL, looking(2)]])]]));

export const SERVER_NAMES = ["gateway", "recorded"] as const;
export type ServerName = (typeof SERVER_NAMES)[number];
/** Where a client asks; and the model's server behind it, which may be the same. */
export interface Server {
  readonly baseUrl: string;
  readonly upstreamUrl: string;
}
export interface Case {
  readonly name: string;
  /** It is about what the other server has nothing of. */
  readonly only?: ServerName;
  /** How it ended. Fails where what is the same for all is not so. */
  readonly run: (client: Client, server: Server) => Promise<string>;
  readonly expected: Readonly<Record<ServerName, Expected>>;
}
type Expected = string | Readonly<Record<ClientName, string>>;

export const expectedOf = ({ expected }: Case, server: ServerName, client: ClientName): string => {
  const own = expected[server];
  return typeof own === "string" ? own : own[client];
};

export const both = (expected: Expected) => ({ gateway: expected, recorded: expected });
export const by = (openai: string, ai: string, langchain = openai): Readonly<Record<ClientName, string>> => ({ openai, "AI SDK": ai, "LangChain.js": langchain });
/** `kind`: the class of `openai`, which LangChain.js hands on. */
const refused = (what: string, kind: string, retryAfterS?: number): Expected => {
  const after = retryAfterS === undefined ? "" : `, retry after ${retryAfterS} s`;
  return by(`${what}, \`${kind}\`${after}`, `${what}, \`APICallError\`${after}`);
};

export const asking = ({ baseUrl }: Server, query: string, more: Partial<Ask> = {}): Ask => ({ baseUrl, model: MODEL, messages: [{ role: "user", content: query }], ...more });

/** What the client has in the end: so much of `text` and the finish reason, or the error. Calls are no part of it. */
export const outcomeOf = (client: Client, answer: Promise<Answer>, text: string): Promise<string> =>
  orFailure(client, answer.then(({ text: got, calls, finishReason }) => {
    const isPart = calls.length === 0 && (got === text || (got !== "" && text.startsWith(got)));
    return `${isPart ? (got === text ? "the text" : "a part") : `other: ${JSON.stringify([got, calls])}`}, ${reasonIn(finishReason)}`;
  }));
export const reasonIn = (finishReason: string | null): string => (finishReason === null ? "no reason" : `\`${finishReason}\``);
export async function orFailure(client: Client, outcome: Promise<string>): Promise<string> {
  try {
    return await outcome;
  } catch (error) {
    const { kind, status, code, retryAfter } = client.failureOf(error);
    return [[status, code === null ? null : `\`${code}\``].filter((part) => part !== null).join(" "), `\`${kind}\``, retryAfter === null ? "" : `retry after ${retryAfter} s`].filter((part) => part !== "").join(", ");
  }
}
const whole = async (client: Client, ask: Ask, text = LONG_TEXT): Promise<string> => outcomeOf(client, client.whole(ask), text);
const streamed = async (client: Client, ask: Ask, text = LONG_TEXT): Promise<string> => outcomeOf(client, client.streamed(ask, () => undefined), text);

async function put({ upstreamUrl }: Server, faults: Faults): Promise<void> {
  const reply = await fetch(`${upstreamUrl}/faults`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(faults) });
  expect(reply.status).toBe(200);
}
export async function withFault<T>(server: Server, fault: Faults[number], run: () => Promise<T>, model = MODEL): Promise<T> {
  await put(server, [{ ...fault, models: [model] }]);
  return run().finally(() => put(server, []));
}
async function calls({ upstreamUrl }: Server): Promise<readonly BilledCall[]> {
  const bill = (await (await fetch(`${upstreamUrl}/bill?calls=true`)).json()) as BillReply & CallList;
  return bill.calls;
}
/** The one call since there were `before`, once it has ended. */
const endedCall = (server: Server, before: number): Promise<BilledCall & { ended_at_ms: number }> =>
  waitUntil(async () => {
    const [call, ...more] = (await calls(server)).slice(before);
    expect(more).toEqual([]);
    return call === undefined || call.ended_at_ms === null ? undefined : { ...call, ended_at_ms: call.ended_at_ms };
  }, { deadlineMs: 10_000, describe: () => "the model's call has not ended" });

/** Sends half of what it is given. */
const sendHalf: typeof fetch = (url, init) => {
  const text = typeof init?.body === "string" ? init.body : "";
  const headers = new Headers(init?.headers);
  headers.delete("content-length");
  return fetch(url, { ...init, headers, body: text.slice(0, text.length / 2) });
};

/** Never with a finish reason, whatever the server. */
const broken = (name: string, kind: "cut" | "garble" | "truncate", expected: Case["expected"]): Case => ({
  name, expected,
  run: (client, server) => withFault(server, { kind, share: 1 }, () => streamed(client, asking(server, COUNT))),
});
/** By an error within the stream. */
export const ended = (code: string): Expected => by(`\`${code}\`, \`APIError\``, `\`${code}\`, \`error part\``);

const CONVERSATION: Ask["messages"] = [
  { role: "system", content: "Be brief." }, { role: "user", content: "Hello." }, { role: "assistant", content: "Hello!" }, { role: "user", content: COUNT },
];
export const TEXT = "the text, `stop`";

export const CASES: readonly Case[] = [
  {
    name: "a whole answer, with usage",
    run: async (client, server) => {
      const answer = client.whole(asking(server, COUNT));
      expect((await answer).totalTokens).toBe(50);
      return outcomeOf(client, answer, LONG_TEXT);
    },
    expected: both(TEXT),
  },
  {
    name: "a stream, in pieces and with usage",
    run: async (client, server) => {
      const pieces: string[] = [];
      const answer = client.streamed(asking(server, COUNT), (piece) => pieces.push(piece));
      expect((await answer).totalTokens).toBe(50);
      expect(pieces.length).toBeGreaterThan(1);
      return outcomeOf(client, answer, LONG_TEXT);
    },
    expected: both(TEXT),
  },
  { name: "a system message and several turns", run: (client, server) => whole(client, asking(server, COUNT, { messages: CONVERSATION })), expected: both(TEXT) },
  { name: "at most 5 tokens", run: (client, server) => whole(client, asking(server, COUNT, { maxTokens: 5 }), "word0 word1 word2 word3 word4"), expected: both("the text, `length`") },
  { name: "at most 5 tokens, streamed", run: (client, server) => streamed(client, asking(server, COUNT, { maxTokens: 5 }), "word0 word1 word2 word3 word4"), expected: both("the text, `length`") },
  { name: "a stop sequence", run: (client, server) => whole(client, asking(server, COUNT, { stop: " word3" }), "word0 word1 word2"), expected: both(TEXT) },
  { name: "a stop sequence, streamed", run: (client, server) => streamed(client, asking(server, COUNT, { stop: " word3" }), "word0 word1 word2"), expected: both(TEXT) },
  ...(["whole", "streamed"] as const).map((way): Case => ({
    name: way === "whole" ? "log probabilities" : "log probabilities, streamed",
    run: async (client, server) => {
      const ask = asking(server, COUNT, { wantsLogprobs: true });
      const { logprobs } = way === "whole" ? await client.whole(ask) : await client.streamed(ask, () => undefined);
      if (logprobs === null) return "not offered";
      for (const one of logprobs) expect(Math.exp(one)).toBeCloseTo(0.95, 6);
      return `${logprobs.length} of 40`;
    },
    expected: both(by("40 of 40", "not offered")),
  })),
  { name: "JSON mode", run: (client, server) => whole(client, asking(server, COLOUR, { wantsJson: true }), JSON_TEXT), expected: both(TEXT) },
  { name: "tools, of which the model calls none", run: (client, server) => whole(client, asking(server, COUNT, { toolChoice: "auto" })), expected: both(TEXT) },
  { name: "an unknown model", run: (client, server) => whole(client, asking(server, COUNT, { model: "gpt-9" })), expected: both(refused("404 `model_not_found`", "NotFoundError")) },
  { name: "an unknown model, streamed", run: (client, server) => streamed(client, asking(server, COUNT, { model: "gpt-9" })), expected: both(refused("404 `model_not_found`", "NotFoundError")) },
  { name: "a body that is no JSON", run: (client, server) => whole(client, asking(server, COUNT, { send: sendHalf })), expected: { gateway: refused("400 `invalid_json`", "BadRequestError"), recorded: refused("400", "BadRequestError") } },
  { name: "a value that is not allowed", run: (client, server) => whole(client, asking(server, COUNT, { extra: { n: "two" } })), expected: { gateway: refused("400 `invalid_value`", "BadRequestError"), recorded: refused("400", "BadRequestError") } },
  { name: "an unknown field", run: (client, server) => whole(client, asking(server, COUNT, { extra: { colour: "red" } })), expected: { gateway: refused("400 `unknown_parameter`", "BadRequestError"), recorded: TEXT } },
  { name: "what the model's server refuses", run: (client, server) => whole(client, asking(server, "What?")), expected: { gateway: refused("502 `backend_refused`", "InternalServerError"), recorded: refused("400 `unknown_query`", "BadRequestError") } },
  ...([whole, streamed] as const).flatMap((ask, i): Case[] => [
    {
      name: `the model's server answers 500${i === 0 ? "" : ", streamed"}`,
      run: (client, server) => withFault(server, { kind: "status", status: 500, share: 1 }, () => ask(client, asking(server, COUNT))),
      expected: { gateway: refused("503 `backend_unavailable`", "InternalServerError", 1), recorded: refused("500 `injected_fault`", "InternalServerError") },
    },
    {
      name: `the model's server answers 429${i === 0 ? "" : ", streamed"}`,
      run: (client, server) => withFault(server, { kind: "status", status: 429, retry_after_s: 3, share: 1 }, () => ask(client, asking(server, COUNT))),
      expected: { gateway: refused("503 `backend_unavailable`", "InternalServerError", 3), recorded: refused("429 `injected_fault`", "RateLimitError", 3) },
    },
  ]),
  {
    name: "a time-out of the client; the model's call",
    run: async (client, server) => {
      const before = (await calls(server)).length;
      const seen = await whole(client, asking(server, PONDER, { timeoutMs: 700 }));
      return `${seen}; ${(await endedCall(server, before)).state}`;
    },
    expected: { gateway: by("`APIConnectionTimeoutError`; completed", "`TimeoutError`; completed", "`TimeoutError`; completed"), recorded: by("`APIConnectionTimeoutError`; aborted", "`TimeoutError`; aborted", "`TimeoutError`; aborted") },
  },
  {
    name: "a stream that the client leaves; the model's call within a second",
    run: async (client, server) => {
      const before = (await calls(server)).length;
      const leaving = new AbortController();
      let leftAtMs: number | undefined;
      const leave = () => { leftAtMs ??= Date.now(); leaving.abort(); };
      const seen = await outcomeOf(client, client.streamed(asking(server, TALK, { signal: leaving.signal }), leave), LONG_TEXT);
      const { state, ended_at_ms } = await endedCall(server, before);
      expect(ended_at_ms - (leftAtMs ?? 0)).toBeLessThan(1_000);
      return `${seen}; ${state}`;
    },
    expected: both(by("a part, no reason; aborted", "`AbortError`; aborted", "`AbortError`; aborted")),
  },
  broken("a stream that is cut upstream", "cut", { gateway: ended("backend_unavailable"), recorded: by("`TypeError`", "200, `APICallError`") }),
  broken("a stream that is garbled upstream", "garble", { gateway: ended("backend_bad_response"), recorded: by("`SyntaxError`", "`AI_JSONParseError`") }),
  broken("a stream that ends upstream in the middle", "truncate", { gateway: ended("backend_bad_response"), recorded: by("a part, no reason", "`AI_InvalidResponseDataError`") }),
];

/** The part of docs/openai-compatibility.md that is made from cases. */
export function tableOf(cases: readonly Case[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = cases.flatMap((one) => {
    const [gateway, recorded] = SERVER_NAMES.map((server) => CLIENT_NAMES.map((client) => expectedOf(one, server, client))) as [string[], string[]];
    if (one.only !== undefined) return [row([one.name, one.only, ...(one.only === "gateway" ? gateway : recorded)])];
    return gateway.join() === recorded.join() ? [row([one.name, "both", ...gateway])] : [row([one.name, "gateway", ...gateway]), row(["", "recorded", ...recorded])];
  });
  return [row(["case", "server", ...CLIENT_NAMES.map((name) => `\`${name}\``)]), "|---|---|---|---|---|", ...rows].join("\n");
}
