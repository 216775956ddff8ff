/** Calls of tools, and answers under a schema, each client in its own way. */
import { expect } from "vitest";

import { asking, both, by, type Case, ended, LONG_TEXT, LOOKS, orFailure, outcomeOf, QUERIES, reasonIn, seen, type Server, TEXT, withFault } from "./conformanceCases.ts";
import { type Answer, type Ask, type Call, type Client, type Way, WAYS } from "./conformanceClients.ts";

const inWay = (name: string, way: Way): string => (way === "whole" ? name : `${name}, streamed`);
const askIn = (way: Way, client: Client, ask: Ask): Promise<Answer> => (way === "whole" ? client.whole(ask) : client.streamed(ask, () => undefined));
const look = (server: Server, toolChoice: Ask["toolChoice"] = "auto"): Ask => asking(server, QUERIES.look, { toolChoice });
const lookTwice = (server: Server): Ask => asking(server, QUERIES.lookTwice, { toolChoice: "auto" });

/** How many of the calls that are wanted the client has, and the finish reason; or the error. */
const callsOf = (client: Client, answer: Promise<Answer>, most: number): Promise<string> =>
  orFailure(client, answer.then(({ text, calls, finishReason }) => `${describeCalls(calls, most)}${text === "" ? "" : ` and the text ${text}`}, ${reasonIn(finishReason)}`));

function describeCalls(calls: readonly Call[], most: number): string {
  const wanted = LOOKS.slice(0, most).map(({ id, input }) => ({ id, name: "look", input }));
  const withoutInput = (all: readonly Call[]) => JSON.stringify(all.map(({ id, name }) => [id, name]));
  if (withoutInput(calls) !== withoutInput(wanted)) return `other calls: ${JSON.stringify(calls)}`;
  const isWhole = JSON.stringify(calls.map(({ input }) => input)) === JSON.stringify(wanted.map(({ input }) => input));
  return isWhole ? (most === 1 ? "the call" : "both calls") : "half a call";
}

async function lookedUp(client: Client, way: Way, ask: Ask, times: number): Promise<string> {
  const asked: string[] = [];
  const answer = client.lookedUp(ask, way, (at) => {
    asked.push(at);
    return seen(at);
  });
  const outcome = await outcomeOf(client, answer, LONG_TEXT);
  expect(asked).toEqual(LOOKS.slice(0, times).map(({ input }) => input.at));
  return outcome;
}

/** The object or the error; and what the service says of the answer, where it says so in a header. */
async function structured(client: Client, way: Way, ask: Ask): Promise<string> {
  const outcomes: string[] = [];
  const send: typeof fetch = async (url, init) => {
    const reply = await fetch(url, init);
    outcomes.push(reply.headers.get("x-optimizer-outcome") ?? "");
    return reply;
  };
  const got = await orFailure(client, client.structured({ ...ask, send }, way).then((object) => (JSON.stringify(object) === '{"colour":"red"}' ? "the object" : `other: ${JSON.stringify(object)}`)));
  return [got, ...outcomes.filter((outcome) => outcome !== "")].join("; ");
}

const called = (what: string) => by(`${what}, \`tool_calls\``, `${what}, \`tool-calls\``);
/** In the middle of the arguments of its one call. */
const broken = (name: string, kind: "cut" | "truncate", expected: Case["expected"]): Case => ({
  name, expected,
  run: (client, server) => withFault(server, { kind, share: 1 }, () => callsOf(client, client.streamed(look(server), () => undefined), 1)),
});
const MISMATCH = { whole: by("`ZodError`", "`AI_NoObjectGeneratedError`", "`$ZodError`"), streamed: by("`OpenAIError`", "`AI_NoObjectGeneratedError`", "`Error`") };

export const TOOL_CASES: readonly Case[] = [
  ...WAYS.flatMap((way): Case[] => [
    { name: inWay("a call", way), run: (client, server) => callsOf(client, askIn(way, client, look(server)), 1), expected: both(called("the call")) },
    { name: inWay("two parallel calls", way), run: (client, server) => callsOf(client, askIn(way, client, lookTwice(server)), 2), expected: both(called("both calls")) },
    { name: inWay("a call of any tool, which is required", way), run: (client, server) => callsOf(client, askIn(way, client, look(server, "required")), 1), expected: both(called("the call")) },
    { name: inWay("a call of one tool, which is required", way), run: (client, server) => callsOf(client, askIn(way, client, look(server, "look")), 1), expected: both("the call, `stop`") },
    { name: inWay("a call, its result and the answer to that", way), run: (client, server) => lookedUp(client, way, look(server), 1), expected: both(TEXT) },
    { name: inWay("two parallel calls, their results and the answer to them", way), run: (client, server) => lookedUp(client, way, lookTwice(server), 2), expected: both(TEXT) },
  ]),
  broken("a stream that is cut upstream in a call's arguments", "cut", { gateway: ended("backend_unavailable"), recorded: by("`TypeError`", "200, `APICallError`") }),
  broken("a stream that ends upstream in a call's arguments", "truncate", { gateway: ended("backend_bad_response"), recorded: by("half a call, no reason", "`AI_InvalidResponseDataError`") }),
  ...WAYS.flatMap((way): Case[] => {
    const after = (outcome: string): string => (way === "whole" ? `; ${outcome}` : "");
    return [
      { name: inWay("an object of the schema", way), run: (client, server) => structured(client, way, asking(server, QUERIES.right)), expected: { gateway: `the object${after("completed")}`, recorded: "the object" } },
      {
        name: inWay("an object that is not of the schema", way), run: (client, server) => structured(client, way, asking(server, QUERIES.wrong)),
        expected: { gateway: by(`${MISMATCH[way].openai}${after("degraded")}`, `${MISMATCH[way]["AI SDK"]}${after("degraded")}`, `${MISMATCH[way]["LangChain.js"]}${after("degraded")}`), recorded: MISMATCH[way] },
      },
      { name: inWay("the same with `auto`, where another tier's object is of the schema", way), only: "gateway", run: (client, server) => structured(client, way, asking(server, QUERIES.wrong, { model: "auto" })), expected: both(`the object${after("completed")}`) },
    ];
  }),
];
