/**
 * The price book: what hosted models charge, each figure with its day and its source. One validated YAML file
 * (`infra/config/prices.yaml`) that people read and extend (docs/prices.md, ADR 0021). Figures are USD per million tokens, as price
 * pages state them; tiers turn them into nano-dollars. What is not in it is unknown, never 0.
 *
 * The commonest mistake is one of unit. The usual ranges below are narrower than a factor of 1,000, so a usual price that is
 * written per token or per 1,000 tokens, or multiplied once too often, is outside of them: always.
 */
import { z } from "zod";

import { Tokenizer } from "./tokenizer.ts";

/** Calendar day, UTC. */
const Day = z.iso.date();
const Usd = z.number().nonnegative();

/** Least and most that hosted models charge, in USD: per million tokens of a model that writes or that makes vectors, and per request. */
export const USUAL = { input: [0.035, 30], output: [0.08, 75], vectors: [0.005, 4], request: [0.0005, 0.25] } as const;
/** The same for prices that follow from another one: as multiples of the price of input, of output for reasoning, and of that for shorter prompts. */
const SHARE = { cached: [0.005, 1], cacheWrite: [0.5, 10], reasoning: [0.05, 20], above: [1, 8] } as const;
/** Above it nothing excuses a figure. */
export const MOST_USD_PER_MILLION = 10_000;

const perToken = {
  usd_per_million_input_tokens: Usd,
  /** Absent: the model makes vectors, no text. */
  usd_per_million_output_tokens: Usd.optional(),
  /** Of input that the server read from its prompt cache. Absent: as all input. */
  usd_per_million_cached_input_tokens: Usd.optional(),
  /** Of input that it wrote to its prompt cache. Absent: as all input. */
  usd_per_million_cache_write_tokens: Usd.optional(),
  /** Of output that was thought and not said. Absent: as all output. */
  usd_per_million_reasoning_output_tokens: Usd.optional(),
};
export const isRising = (steps: readonly { readonly input_tokens: number }[]): boolean => steps.every(({ input_tokens }, i) => i === 0 || input_tokens > (steps[i - 1]?.input_tokens ?? 0));
const Above = z.strictObject({ input_tokens: z.int().positive(), ...perToken });

/** Figures of a price, in the file or inline in a tier. */
export const PriceFigures = z.object({
  ...perToken,
  usd_per_request: Usd.optional(),
  /** For prompts of more tokens than this, the whole call at these prices. */
  above: z.array(Above).min(1).max(8).refine(isRising, "its input_tokens must rise").optional(),
});
export type PriceFigures = z.infer<typeof PriceFigures>;
type PerToken = Omit<PriceFigures, "above" | "usd_per_request">;

/** Why a price is not what it looks like, for people. */
const unusual = z.string().min(1).optional();

export const BookPrice = z
  .strictObject({
    ...PriceFigures.shape,
    /** Where it was read: an address, or repository, path and commit. */
    source: z.string().min(1),
    /** When it was read there. */
    read_on: Day,
    /** First day on which it holds, or the first on which it was seen. */
    valid_from: Day,
    /** Last day on which it holds. Absent: until further notice. */
    valid_until: Day.optional(),
    /** Lets a figure outside the usual range pass, with the reason. */
    unusual,
  })
  .superRefine((price, context) => {
    for (const { field, message, isExcusable } of oddities(price)) {
      if (isExcusable && price.unusual !== undefined) continue;
      context.addIssue({ code: "custom", path: field.split("."), message: isExcusable ? `${message}. If it is right, say why in "unusual"` : message });
    }
    if (price.valid_until !== undefined && price.valid_until < price.valid_from) context.addIssue({ code: "custom", path: ["valid_until"], message: `before valid_from, ${price.valid_from}` });
  });
export type BookPrice = z.infer<typeof BookPrice>;

const ProviderName = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, "lower-case letters, digits and dashes, at most 31");
const ModelName = z.string().regex(/^\S{1,200}$/, "1 to 200 characters, no spaces");

const BookModel = z
  .strictObject({
    provider: ProviderName,
    /** As the provider's API calls it. */
    model: ModelName,
    /** Other names of the same model at the same price. */
    aliases: z.array(ModelName).default([]),
    /** How it cuts text into tokens, where its provider says so in public. Absent: its prompts are estimated. */
    tokenizer: Tokenizer.optional(),
    prices: z.array(BookPrice).min(1),
  })
  .superRefine(({ prices }, context) => {
    const inOrder = prices.map((price, index) => ({ ...price, index })).sort((a, b) => (a.valid_from < b.valid_from ? -1 : 1));
    for (const [i, { index, valid_until }] of inOrder.entries()) {
      const next = inOrder[i + 1];
      if (next === undefined || (valid_until !== undefined && valid_until < next.valid_from)) continue;
      context.addIssue({ code: "custom", path: ["prices", index, "valid_until"], message: `overlaps the price from ${next.valid_from} on: end it with valid_until: ${dayBefore(next.valid_from)}, or remove one` });
    }
  });
export type BookModel = z.infer<typeof BookModel>;

export const PriceFile = z
  .strictObject({
    version: z.literal(1),
    /** `hosts`: of a backend's `base_url`. A model behind any other host has no price here, since each host charges its own. */
    providers: z.record(ProviderName, z.strictObject({ hosts: z.array(z.string().regex(/^[a-z0-9.-]+$/, "a host name, in lower case and without a port")).default([]) })),
    models: z.array(BookModel).min(1).max(10_000),
  })
  .superRefine(({ providers, models }, context) => {
    const hosts = new Map<string, string>();
    for (const [provider, { hosts: own }] of Object.entries(providers)) {
      for (const host of own) {
        const other = hosts.get(host);
        if (other !== undefined) context.addIssue({ code: "custom", path: ["providers", provider, "hosts"], message: `${host} is of ${other} already` });
        hosts.set(host, provider);
      }
    }
    const names = new Set<string>();
    for (const [i, { provider, model, aliases }] of models.entries()) {
      if (!Object.hasOwn(providers, provider)) context.addIssue({ code: "custom", path: ["models", i, "provider"], message: `there is no provider ${provider}; there are ${Object.keys(providers).join(", ")}` });
      for (const name of [model, ...aliases]) {
        const id = `${provider}/${name}`;
        if (names.has(id)) context.addIssue({ code: "custom", path: ["models", i], message: `${id} is there twice: put all its prices under one entry` });
        names.add(id);
      }
    }
  });
export type PriceFile = z.infer<typeof PriceFile>;

/** In a tier file, in place of the figures: `<provider>/<model or alias>`. The name of a model may hold slashes. */
export const BookReference = z.strictObject({ book: z.string().min(1) });

/** The last day before `day`. */
function dayBefore(day: string): string {
  return new Date(Date.parse(day) - 86_400_000).toISOString().slice(0, 10);
}

export interface Oddity {
  /** With dots, from the price on: `above.0.usd_per_million_input_tokens`. */
  readonly field: string;
  readonly message: string;
  /** A reason makes it pass. */
  readonly isExcusable: boolean;
}

/** What cannot be meant, or hardly. Figures are in USD. */
export function oddities({ above = [], usd_per_request, ...base }: PriceFigures): Oddity[] {
  const found = [...odditiesPerToken(base), ...above.flatMap((step, i) => [...odditiesPerToken(step), ...oddStep(above[i - 1] ?? base, step)].map((one) => ({ ...one, field: `above.${i}.${one.field}` })))];
  if (usd_per_request !== undefined && usd_per_request > 0) found.push(...outOfRange("usd_per_request", usd_per_request, USUAL.request, PER_REQUEST));
  return found;
}

/** Longer prompts cost more of each, and not many times as much. */
function oddStep(before: PerToken, step: PerToken): Oddity[] {
  return (["usd_per_million_input_tokens", "usd_per_million_output_tokens"] as const).flatMap((field): Oddity[] => {
    const was = before[field], is = step[field];
    if (was === undefined || is === undefined) return was === is ? [] : [{ field, message: "is stated for prompts of one length and not of another", isExcusable: false }];
    return outside(is, times(SHARE.above, was)) ? [{ field, message: `${is} USD for longer prompts, where shorter ones cost ${was}: usually it is ${SHARE.above[0]} to ${SHARE.above[1]} times as much`, isExcusable: true }] : [];
  });
}

function odditiesPerToken(figures: PerToken): Oddity[] {
  const { usd_per_million_input_tokens: input, usd_per_million_output_tokens: output, usd_per_million_cached_input_tokens: cached } = figures;
  const ranged = (field: keyof PerToken, value: number | undefined, usual: readonly [number, number], unit: string) => (value === undefined ? [] : outOfRange(field, value, usual, unit));
  return [
    ...ranged("usd_per_million_input_tokens", input, output === undefined ? USUAL.vectors : USUAL.input, "per million input tokens"),
    ...ranged("usd_per_million_output_tokens", output, USUAL.output, "per million output tokens"),
    ...(cached !== undefined && cached > input
      ? [{ field: "usd_per_million_cached_input_tokens", message: "above the price of input tokens: a budget counts on no more than that", isExcusable: false }]
      : ranged("usd_per_million_cached_input_tokens", cached, times(SHARE.cached, input), "per million cached input tokens at this price of input")),
    ...ranged("usd_per_million_cache_write_tokens", figures.usd_per_million_cache_write_tokens, times(SHARE.cacheWrite, input), "per million tokens written to the cache at this price of input"),
    ...ranged("usd_per_million_reasoning_output_tokens", figures.usd_per_million_reasoning_output_tokens, times(SHARE.reasoning, output ?? 0), "per million reasoning tokens at this price of output"),
  ];
}

function outOfRange(field: string, value: number, usual: readonly [number, number], unit: string): Oddity[] {
  if (unit !== PER_REQUEST && value > MOST_USD_PER_MILLION) return [{ field, message: `above ${MOST_USD_PER_MILLION.toLocaleString("en")} USD per million tokens: is this a price of another unit?`, isExcusable: false }];
  return outside(value, usual) ? [{ field, message: `${value} USD is ${value < usual[0] ? "below" : "above"} what hosted models charge ${unit} (${shown(usual[0])} to ${shown(usual[1])})${guess(value, usual, unit)}`, isExcusable: true }] : [];
}

const PER_REQUEST = "per request";
const times = ([least, most]: readonly [number, number], price: number): [number, number] => [least * price, most * price];
/** A computed bound is no reason to refuse what equals it but for the last bit. */
const outside = (value: number, [least, most]: readonly [number, number]): boolean => value < least * (1 - 1e-9) || value > most * (1 + 1e-9);
const shown = (usd: number): string => String(Number(usd.toPrecision(4)));

/** In which unit the figure would be a usual one. */
function guess(value: number, usual: readonly [number, number], unit: string): string {
  const isRight = (factor: number) => value > 0 && !outside(value * factor, usual);
  if (unit === PER_REQUEST) return isRight(1e-3) ? `: is it a price per 1,000 requests? Then it is ${shown(value / 1_000)} here` : "";
  if (isRight(1e3)) return `: is it a price per 1,000 tokens? Then it is ${shown(value * 1_000)} here`;
  if (isRight(1e6)) return `: is it a price per token? Then it is ${shown(value * 1e6)} here`;
  if (isRight(1e-3)) return `: was it multiplied by 1,000 once too often? Then it is ${shown(value / 1_000)} here`;
  return "";
}
