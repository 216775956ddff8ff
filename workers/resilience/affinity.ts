/** What a conversation would lose on another replica than the one that has read its beginning. Pure. */
import { createHash } from "node:crypto";

import { bytesOf, type Input, isEmbed } from "#shared/contracts/chat.ts";
import { costOf, estimateTokens, type Rates, type TokenCount } from "#shared/contracts/rates.ts";

export interface Conversation {
  /** The same for all turns of a conversation of one tenant. */
  readonly key: string;
  readonly input_tokens: number;
  /** Of these, read in an earlier turn. An estimate, as is `input_tokens`. */
  readonly known_tokens: number;
}

/** `null`: a text, or texts to embed, which is no part of anything. A conversation is known by how it begins: all up to the first message of its user. */
export function conversationOf(tenantId: string, input: Input): Conversation | null {
  if (typeof input === "string" || isEmbed(input)) return null;
  const { messages } = input;
  const first = messages.findIndex(({ role }) => role === "user");
  const last = messages.findLastIndex(({ role }) => role === "user");
  const begins = messages.slice(0, first + 1 || 1).map(({ role, content }) => [role, content]);
  const known_tokens = last > first ? estimateTokens(bytesOf({ ...input, messages: messages.slice(0, last) })) : 0;
  return { key: createHash("sha256").update(JSON.stringify([tenantId, begins])).digest("hex"), input_tokens: estimateTokens(bytesOf(input)), known_tokens };
}

/**
 * How many times more the call costs where nobody has read what came before, 1 at least. Money and load are weighed as
 * ratios, so that no price of a millisecond is needed. Whoever charges for what it writes to its cache is expected to write all that is new.
 */
export function switchingRatio(rates: Rates, { input_tokens, known_tokens }: Pick<Conversation, "input_tokens" | "known_tokens">, output_tokens: TokenCount["output_tokens"]): number {
  const call = (known: number) => costOf(rates, { input_tokens, output_tokens, cached_input_tokens: known, cache_write_input_tokens: input_tokens - known });
  const cold = call(0), warm = call(known_tokens);
  return Math.max(1, cold / Math.max(1, warm));
}
