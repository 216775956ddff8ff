/** What a call costs: rates in nano-dollars, and tokens by what is charged for them. Pure. */
import { z } from "zod";

import { NanoUsd, nanoUsd, tokenCost } from "./money.ts";

const perToken = {
  input_nano_usd_per_million: NanoUsd,
  output_nano_usd_per_million: NanoUsd,
  /** Of input tokens that the server read from its prompt cache. Absent: as all input. */
  cached_input_nano_usd_per_million: NanoUsd.optional(),
  /** Of input tokens that the server wrote to its prompt cache. Absent: as all input. */
  cache_write_nano_usd_per_million: NanoUsd.optional(),
  /** Of output tokens that were thought and not said. Absent: as all output. */
  reasoning_output_nano_usd_per_million: NanoUsd.optional(),
};

/** What a tier charges, in nano-dollars. */
export const Rates = z.object({
  ...perToken,
  request_nano_usd: NanoUsd,
  /** For calls with more input than this, all their tokens at these rates instead. In rising order. Absent: a long prompt costs as any other. */
  above: z.array(z.object({ input_tokens: z.int().positive(), ...perToken })).optional(),
});
export type Rates = z.infer<typeof Rates>;

/** No call has more, whatever its server says. */
export const MOST_TOKENS = 1e9;

export interface TokenCount {
  readonly input_tokens: number;
  readonly output_tokens: number;
  /** Of `input_tokens`, read from the server's prompt cache, and written to it. */
  readonly cached_input_tokens?: number | undefined;
  readonly cache_write_input_tokens?: number | undefined;
  /** Of `output_tokens`, thought and not said. */
  readonly reasoning_output_tokens?: number | undefined;
  /** Of all, those that no rate is for. */
  readonly unpriced_tokens?: number | undefined;
}
/** A rule of thumb for English text and byte-pair encodings: an expectation, and a usage that is marked as estimated. */
const BYTES_PER_TOKEN = 4;
export const estimateTokens = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN);

/** Without what else a price says of itself. */
export const ratesOf = (price: Rates): Rates => Rates.parse(price);

/** Those of a call of so much input: without `above`. */
export function ratesFor(rates: Rates, inputTokens: number): Omit<Rates, "above"> {
  if (rates.above === undefined) return rates;
  const { above, ...base } = rates;
  const reached = above.findLast(({ input_tokens }) => inputTokens > input_tokens);
  if (reached === undefined) return base;
  const { input_tokens: _from, ...higher } = reached;
  return { ...higher, request_nano_usd: base.request_nano_usd };
}

/**
 * Cost of one call in nano-dollars, rounded up once for each kind of token. Input that was read from a cache or written to it, and
 * output that was only thought, are kinds of their own where the rates have a price for them, and like all other where they have none. A price
 * that rises with the prompt holds for the whole call, as providers state it.
 */
export function costOf(rates: Rates, { input_tokens, output_tokens, cached_input_tokens = 0, cache_write_input_tokens = 0, reasoning_output_tokens = 0 }: TokenCount): NanoUsd {
  const charged = ratesFor(rates, input_tokens);
  const { input_nano_usd_per_million: price, cached_input_nano_usd_per_million: cachedPrice, cache_write_nano_usd_per_million: writePrice } = charged;
  const { output_nano_usd_per_million: outputPrice, reasoning_output_nano_usd_per_million: reasoningPrice } = charged;
  const cached = cachedPrice === undefined ? 0 : Math.min(cached_input_tokens, input_tokens);
  const written = writePrice === undefined ? 0 : Math.min(cache_write_input_tokens, input_tokens - cached);
  const reasoning = reasoningPrice === undefined ? 0 : Math.min(reasoning_output_tokens, output_tokens);
  const input = tokenCost(input_tokens - cached - written, price) + tokenCost(cached, cachedPrice ?? price) + tokenCost(written, writePrice ?? price);
  const output = tokenCost(output_tokens - reasoning, outputPrice) + tokenCost(reasoning, reasoningPrice ?? outputPrice);
  return nanoUsd(input + output + charged.request_nano_usd);
}

/** Whether there is a rate for each kind of token. What has none is charged like all others of its side, never nothing, and that may be too little. */
export function isPriceKnown(rates: Rates, { input_tokens, cache_write_input_tokens = 0, unpriced_tokens = 0 }: TokenCount): boolean {
  return unpriced_tokens === 0 && (cache_write_input_tokens === 0 || ratesFor(rates, input_tokens).cache_write_nano_usd_per_million !== undefined);
}

/**
 * The most that a call of at most so many tokens can cost: its server may write all that it reads to its cache, and only think, and where a
 * price changes with the prompt, a shorter one may be the dearer.
 */
export function mostCostOf(rates: Rates, { input_tokens, output_tokens }: Pick<TokenCount, "input_tokens" | "output_tokens">): NanoUsd {
  const { above = [] } = rates;
  if (above.length === 0 && rates.cache_write_nano_usd_per_million === undefined && rates.reasoning_output_nano_usd_per_million === undefined) return costOf(rates, { input_tokens, output_tokens });
  const lengths = [...above.map((one) => one.input_tokens).filter((length) => length < input_tokens), input_tokens];
  const inputs = lengths.flatMap((length) => [{ input_tokens: length, cache_write_input_tokens: 0 }, { input_tokens: length, cache_write_input_tokens: length }]);
  const outputs = [{ reasoning_output_tokens: 0 }, { reasoning_output_tokens: output_tokens }];
  return nanoUsd(Math.max(...inputs.flatMap((read) => outputs.map((thought) => costOf(rates, { output_tokens, ...read, ...thought })))));
}
