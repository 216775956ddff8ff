/**
 * The usage that a call is charged for. What its server says is believed as far as it can be: a token is at least one byte of what was
 * sent, nothing is longer than what was asked for, and an answer is not made of nothing. Pure.
 */
import type { AnswerMessage } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { estimateTokens, MOST_TOKENS, type TokenCount } from "#shared/contracts/rates.ts";

export interface CallSize {
  /** Under which the call was quoted (`mostTokensOf`). */
  readonly most: Pick<TokenCount, "input_tokens" | "output_tokens">;
  /** Of what was sent. */
  readonly inputBytes: number;
  /** Of what came back. 0: nothing, or nobody knows. */
  readonly saidBytes: number;
}

/** Never more than `most`, always whole numbers of tokens. Numbers in `told` may be anything. */
export function plausibleUsage(told: Usage, { most, inputBytes, saidBytes }: CallSize): Usage {
  const input = plausibleCount(told.input_tokens, most.input_tokens, inputBytes);
  const output = plausibleCount(told.output_tokens, most.output_tokens, saidBytes);
  const cached = part(told.cached_input_tokens, input.tokens);
  const written = part(told.cache_write_input_tokens, input.tokens - (cached?.tokens ?? 0));
  const reasoning = part(told.reasoning_output_tokens, output.tokens);
  const unpriced = part(told.unpriced_tokens, input.tokens + output.tokens);
  const counts = {
    input_tokens: input.tokens,
    output_tokens: output.tokens,
    ...(cached === undefined ? {} : { cached_input_tokens: cached.tokens }),
    ...(written === undefined ? {} : { cache_write_input_tokens: written.tokens }),
    ...(reasoning === undefined ? {} : { reasoning_output_tokens: reasoning.tokens }),
    ...(unpriced === undefined ? {} : { unpriced_tokens: unpriced.tokens }),
  };
  const all = [input, output, cached, written, reasoning, unpriced].filter((count) => count !== undefined);
  if (all.every(({ isAsTold }) => isAsTold)) return { ...told, ...counts };
  return {
    ...counts,
    source: input.isEstimated || output.isEstimated ? "estimated" : told.source,
    is_clamped: true,
    ...(told.source === "reported" ? { reported: { input_tokens: asSaid(told.input_tokens), output_tokens: asSaid(told.output_tokens) } } : {}),
  };
}

interface Plausible {
  readonly tokens: number;
  readonly isAsTold: boolean;
  readonly isEstimated: boolean;
}
const isCount = (count: number): boolean => Number.isSafeInteger(count) && count >= 0;

/** `bytes`: of the text that the tokens are of. */
function plausibleCount(told: number, most: number, bytes: number): Plausible {
  if (isCount(told) && (told > 0 || bytes === 0)) return { tokens: Math.min(told, most), isAsTold: told <= most, isEstimated: false };
  return { tokens: Math.min(estimateTokens(bytes), most), isAsTold: false, isEstimated: true };
}

/** Of tokens that are a part of others. What is no number of them is none. */
function part(told: number | undefined, whole: number): Plausible | undefined {
  if (told === undefined) return undefined;
  const tokens = isCount(told) ? Math.min(told, whole) : 0;
  return { tokens, isAsTold: tokens === told, isEstimated: false };
}

const asSaid = (count: number): number | null => (Number.isInteger(count) ? Math.max(-MOST_TOKENS, Math.min(count, MOST_TOKENS)) : null);

/** Of an answer: its text and the calls of tools. Vectors are no text, and what a refusal says may be from here. */
export const saidBytesOf = ({ output, message }: { readonly output: string; readonly message?: Pick<AnswerMessage, "tool_calls"> }): number =>
  Buffer.byteLength(output) + (message?.tool_calls === undefined ? 0 : Buffer.byteLength(JSON.stringify(message.tool_calls)));
