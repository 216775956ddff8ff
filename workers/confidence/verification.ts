/** Self-verification: the model is asked, in a second short call, whether the answer is right. Raw, not calibrated. Pure. */
import type { AnswerToken, Chat, Prompt } from "#shared/contracts/chat.ts";

const QUESTION = "Is the answer above correct and complete? Reply with one word, yes or no.";
/** A word and what may stand before it. */
const MOST_TOKENS = 3;

/** What is asked. The conversation goes with it, so that a server's prompt cache is warm. */
export function verificationOf(input: Prompt, output: string, { withLogprobs }: { withLogprobs: boolean }): Chat {
  const messages = typeof input === "string" ? [{ role: "user" as const, content: input }] : input.messages;
  return { messages: [...messages, { role: "assistant", content: output }, { role: "user", content: QUESTION }], max_output_tokens: MOST_TOKENS, temperature: 0, ...(withLogprobs ? { logprobs: true, top_logprobs: 5 } : {}) };
}

/** What a word without probabilities is worth. */
const BY_WORD = { yes: 0.9, no: 0.1 };

/** P(yes) ÷ (P(yes) + P(no)) of the first token that says either; by its word alone where the server sent no logprobs. `null`: it said neither. */
export function confidenceOfVerdict({ output, tokens = [] }: { readonly output: string; readonly tokens?: readonly AnswerToken[] }): number | null {
  for (const { token, logprob, alternatives = [] } of tokens) {
    if (verdictOf(token) === null) continue;
    const said = new Map([[token, logprob], ...alternatives.map((one): [string, number] => [one.token, one.logprob])]);
    const [yes, no] = (["yes", "no"] as const).map((word) => [...said].reduce((sum, [text, value]) => (verdictOf(text) === word ? sum + Math.exp(value) : sum), 0)) as [number, number];
    return yes + no > 0 ? yes / (yes + no) : null;
  }
  const word = verdictOf(output.trim().split(/\s+/)[0] ?? "");
  return word === null ? null : BY_WORD[word];
}

function verdictOf(text: string): "yes" | "no" | null {
  const word = text.toLowerCase().replaceAll(/[^\p{L}]/gu, "");
  return word === "yes" || word === "no" ? word : null;
}
