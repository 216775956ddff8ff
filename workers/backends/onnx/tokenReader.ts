/** Text to the ids of tokens that a model reads, by Hugging Face's `tokenizer.json`. */
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { z } from "zod";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";

/** The part of the library that is used. Its own types name their files without extensions, which TypeScript does not follow here. */
const Tokenizer = Library as unknown as new (definition: object, config: { unk_token: string | undefined }) => {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: readonly (number | undefined)[] };
};
/** What is read here; the rest is the library's. */
const Definition = z.looseObject({ model: z.looseObject({ unk_token: z.string().nullish() }) });
/** Most characters that are looked at for each token that may be read: what a long text costs is bounded, and few tokens are longer. */
const MOST_CHARACTERS_PER_TOKEN = 16;

export interface TokensRead {
  /** Special ones included. */
  readonly ids: readonly number[];
  /** Of the whole text: counted, or estimated where only its beginning was read. */
  readonly inputTokens: number;
  readonly isCut: boolean;
}

/** Throws when the definition is none, or has more special tokens around a text than `maxTokens` leaves room for. */
export function makeTokenReader(definition: unknown, maxTokens: number): (text: string) => TokensRead {
  const { data, error } = Definition.safeParse(definition);
  if (error !== undefined) throw new Error(issueLines(error).join("; "));
  const tokenizer = new Tokenizer(data, { unk_token: data.model.unk_token ?? undefined }); // of models of whole words it knows it from here alone
  const encoded = (text: string, add_special_tokens: boolean): readonly number[] => tokenizer.encode(text, { add_special_tokens }).ids.filter((id) => id !== undefined);
  const bare = (text: string) => encoded(text, false);
  const [before, after] = around(encoded("a", true), bare("a"));
  const room = maxTokens - before.length - after.length;
  if (room < 1) throw new Error(`max_tokens ${maxTokens} leaves no room beside its ${before.length + after.length} special tokens`);
  return (text) => {
    const head = text.slice(0, MOST_CHARACTERS_PER_TOKEN * room);
    const read = bare(head);
    const ids = [...before, ...read.slice(0, room), ...after];
    const isCut = head.length < text.length || read.length > room;
    return { ids, isCut, inputTokens: isCut ? Math.max(ids.length, estimateTokens(Buffer.byteLength(text))) : ids.length };
  };
}

/** What stands before and after every text. Throws when it cannot be told apart from a text. */
function around(whole: readonly number[], bare: readonly number[]): readonly [readonly number[], readonly number[]] {
  const start = whole.findIndex((_, i) => bare.every((id, k) => whole[i + k] === id));
  if (start < 0 || bare.length === 0) throw new Error("it has no token for the letter a, so its special tokens cannot be told");
  return [whole.slice(0, start), whole.slice(start + bare.length)];
}
