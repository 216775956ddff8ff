/** What the tiers of a file count a prompt as. */
import { bytesOf, type Input, isEmbed } from "#shared/contracts/chat.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";
import { type BackendConfig, replicasOf, servedBy, type Tier, type TierFile } from "#shared/contracts/tiers.ts";
import type { Tokenizer } from "#shared/contracts/tokenizer.ts";

import type { CountTokens } from "./openTokenCounter.ts";

/** Tokens of a prompt by the name of the tier. Tiers that cannot count it are left out. */
export type CountedTiers = ReadonlyMap<string, number>;

/** Of all backends that have one. */
export const tokenizersOf = (file: Pick<TierFile, "tiers" | "embedders">): Tokenizer[] =>
  servedBy(file).flatMap((tier) => replicasOf(tier).flatMap(({ backend }) => tokenizerOf(backend) ?? []));

/** With the tier's system message. Of replicas that count differently, the most; one that cannot count makes its tier one that cannot. */
export function makeCountedTiers(count: CountTokens): (file: Pick<TierFile, "tiers">, input: Input) => CountedTiers {
  const countSystem = makeCountSystem(count);
  return ({ tiers }, input) => {
    const once = memo(count, input);
    return new Map(tiers.flatMap((tier): [string, number][] => {
      const counts = replicasOf(tier).map(({ backend }) => countedBy(backend, once, countSystem));
      return counts.every((tokens) => tokens !== null) ? [[tier.name, Math.max(...counts)]] : [];
    }));
  };
}

/** For limits, which hold before a tier is chosen: the most that any tier counts a prompt as, by its tokenizer or as estimated. */
export function makePromptTokens({ tiers, embedders }: Pick<TierFile, "tiers" | "embedders">, count: CountTokens): (input: Input) => number {
  const tokenizersOfEach = (served: readonly Tier[]) => served.map((tier) => replicasOf(tier).map(({ backend }) => tokenizerOf(backend)));
  const [ofTiers, ofEmbedders] = [tokenizersOfEach(tiers).flat(), tokenizersOfEach(embedders).flat()];
  return (input) => {
    const once = memo(count, input);
    const counts = (isEmbed(input) ? ofEmbedders : ofTiers).map((tokenizer) => (tokenizer === undefined ? null : once(tokenizer)));
    const estimate = estimateTokens(bytesOf(input));
    return counts.length === 0 ? estimate : Math.max(...counts.map((tokens) => tokens ?? estimate));
  };
}

const tokenizerOf = (backend: BackendConfig): Tokenizer | undefined => ("tokenizer" in backend ? backend.tokenizer : undefined);

type CountSystem = (tokenizer: Tokenizer, system: string) => number | null;

function countedBy(backend: BackendConfig, countInput: (tokenizer: Tokenizer) => number | null, countSystem: CountSystem): number | null {
  const tokenizer = tokenizerOf(backend);
  const tokens = tokenizer === undefined ? null : countInput(tokenizer);
  if (tokenizer === undefined || tokens === null || !("system" in backend) || backend.system === undefined) return tokens;
  const system = countSystem(tokenizer, backend.system);
  return system === null ? null : tokens + system;
}

/** Each once, since they are the tier file's and every prompt has them before it. What could not be counted in time is tried again. */
function makeCountSystem(count: CountTokens): CountSystem {
  const known = new Map<string, number>();
  return (tokenizer, content) => {
    const key = `${tokenizer} ${content}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const system = count(tokenizer, { messages: [{ role: "system", content }] }), empty = count(tokenizer, { messages: [] });
    if (system === null || empty === null) return null;
    known.set(key, system - empty);
    return system - empty;
  };
}

/** Tiers with the same tokenizer count the same. */
function memo(count: CountTokens, input: Input): (tokenizer: Tokenizer) => number | null {
  const known = new Map<Tokenizer, number | null>();
  return (tokenizer) => {
    const found = known.get(tokenizer);
    const tokens = found === undefined ? count(tokenizer, input) : found;
    known.set(tokenizer, tokens);
    return tokens;
  };
}
