/** Models whose answers are right with known probabilities, and people who judge each answer: what `canary.ts` sends through a whole system. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { TierName } from "#shared/contracts/tiers.ts";

export interface AnswerServer {
  readonly url: string;
  readonly close: () => Promise<void>;
}
const RIGHT = "right", WRONG = "wrong";

/** What is asked: JSON that says which models answer it rightly. */
export const questionFor = (name: string, qualities: Readonly<Record<string, number>>, random: () => number): string => {
  const draw = random(); // one for all: what the better model gets wrong the other does, too
  return JSON.stringify({ name, right: Object.entries(qualities).filter(([, quality]) => draw < quality).map(([model]) => TierName.parse(model)) });
};
export const scoreOf = (output: string | null): number => (output === RIGHT ? 1 : 0);

/** As OpenAI's chat completions, sure of every answer. */
export async function startAnswerServer(): Promise<AnswerServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      const { model, messages } = JSON.parse(Buffer.concat(chunks).toString()) as { model: string; messages: { content: string }[] };
      const { right } = JSON.parse(messages.at(-1)?.content ?? "{}") as { right: string[] };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({
        model, choices: [{ finish_reason: "stop", message: { role: "assistant", content: right.includes(model) ? RIGHT : WRONG }, logprobs: { content: [{ logprob: -0.01 }] } }],
        usage: { prompt_tokens: 40, completion_tokens: 1 },
      }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    close: () => new Promise((resolve) => {
      server.close(() => { resolve(); });
      server.closeAllConnections();
    }),
  };
}
