/**
 * Counts a prompt's tokens before a call, as the model's provider will. For what a call is expected to cost: templates, tools and schemas
 * add tokens that no tokenizer of the text sees, so the most that it may cost is counted in bytes (`mostTokensOf`).
 *
 * Merging is quadratic in the length of a piece that the encoding does not cut, a run of letters, of signs or of white space: 64,000 times "a" take seconds.
 * So long texts are not counted, and others in slices until their time is up; `npm run bench:tokens` says what that bounds. A slice ends before a space
 * where it can, as the encodings' own pieces do: then the sum is that of the whole. Cut elsewhere, it may be a token more.
 */
import { type Chat, type Input, isEmbed } from "#shared/contracts/chat.ts";
import type { Tokenizer } from "#shared/contracts/tokenizer.ts";

/** `null`: it cannot be told by its text alone, or not in time. Throws for a tokenizer that was not opened. */
export type CountTokens = (tokenizer: Tokenizer, input: Input) => number | null;

/** Of one input, in UTF-16 units. */
const MOST_UNITS = 64 * 1024;
const SLICE_UNITS = 512;
/** Of one input, in milliseconds: looked at after each slice. */
const MOST_MS = 20;
/** Pieces whose merging is remembered, of each tokenizer. */
const MERGE_CACHE = 10_000;

/** What OpenAI's chat models add to each message, to a name, and before the answer: openai-cookbook, "How to count tokens with tiktoken". */
const [PER_MESSAGE, PER_NAME, PER_REPLY] = [3, 1, 3];

type CountText = (text: string) => number;
/** Nothing in a prompt is a special token: whoever writes one means its letters. */
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

/** Loads the tables of these tokenizers, of which each takes tens of megabytes; none, none. */
export async function openTokenCounter(tokenizers: Iterable<Tokenizer>, nowMs: () => number = () => performance.now()): Promise<CountTokens> {
  const opened = new Map(await Promise.all([...new Set(tokenizers)].map(async (name): Promise<[Tokenizer, CountText]> => [name, await open(name)])));
  return (tokenizer, input) => {
    const count = opened.get(tokenizer);
    if (count === undefined) throw new Error(`the tokenizer ${tokenizer} was not opened`);
    const texts = textsOf(input);
    if (texts === null || texts.reduce((sum, text) => sum + text.length, 0) > MOST_UNITS) return null;
    const counted = countInTime(texts, count, nowMs);
    if (counted === null) return null;
    if (isEmbed(input)) return counted;
    return counted + PER_REPLY + (typeof input === "string" ? PER_MESSAGE + count("user") : input.messages.reduce((sum, { name }) => sum + PER_MESSAGE + (name === undefined ? 0 : PER_NAME), 0));
  };
}

async function open(name: Tokenizer): Promise<CountText> {
  const { countTokens, setMergeCacheSize } = await tables(name);
  setMergeCacheSize(MERGE_CACHE);
  return (text) => countTokens(text, AS_TEXT);
}

function tables(name: Tokenizer): Promise<{ readonly countTokens: (text: string, options: typeof AS_TEXT) => number; readonly setMergeCacheSize: (size: number) => void }> {
  switch (name) {
    case "o200k_base": return import("gpt-tokenizer/encoding/o200k_base");
    case "cl100k_base": return import("gpt-tokenizer/encoding/cl100k_base");
  }
}

function countInTime(texts: readonly string[], count: CountText, nowMs: () => number): number | null {
  const untilMs = nowMs() + MOST_MS;
  let tokens = 0;
  for (const text of texts) {
    for (const slice of slicesOf(text)) {
      tokens += count(slice);
      if (nowMs() > untilMs) return null;
    }
  }
  return tokens;
}

function* slicesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length;) {
    const space = text.length - from <= SLICE_UNITS ? -1 : text.lastIndexOf(" ", from + SLICE_UNITS);
    const to = text.length - from <= SLICE_UNITS ? text.length : space > from ? space : from + SLICE_UNITS;
    yield text.slice(from, to);
    from = to;
  }
}

/** All that is read as text, roles and names included. `null`: more than text is read. */
function textsOf(input: Input): string[] | null {
  if (typeof input === "string") return [input];
  if (isEmbed(input)) return input.texts.every((text) => typeof text === "string") ? input.texts : null;
  if ((input.tools ?? []).length > 0 || (input.response_format?.type ?? "text") !== "text") return null;
  const texts = input.messages.map(textsOfMessage);
  return texts.every((text) => text !== null) ? texts.flat() : null;
}

function textsOfMessage({ role, name, content, tool_calls, tool_call_id }: Chat["messages"][number]): string[] | null {
  if (tool_calls !== undefined || tool_call_id !== undefined || (name !== undefined && typeof name !== "string")) return null;
  const parts = typeof content === "string" ? [content] : (content ?? []).map(({ type, text }) => (type === "text" ? (text ?? "") : null));
  return parts.every((part) => part !== null) ? [role, ...(name === undefined ? [] : [name]), ...parts] : null;
}
