import type { Model } from "#shared/contracts/openAi.ts";
import { type Embedder, policyNames, replicasOf, type TierFile, type TierReplica } from "#shared/contracts/tiers.ts";

type Tiers = Pick<TierFile, "tiers">;
type Served = Pick<TierFile, "tiers" | "embedders">;
/** Pure. Which policy a model's name asks for; for `auto` that is `null`: the tier file's. Without a value there is no such model. */
export function policyOf(model: string, { tiers }: Tiers): { readonly policy: string | null } | null {
  if (model === "auto") return { policy: null };
  const named = model.startsWith("auto:") ? model.slice("auto:".length) : null;
  if (named !== null) return policyNames(tiers).includes(named) ? { policy: named } : null;
  const tier = tiers.find(({ name }) => name === model) ?? tiers.find((one) => replicasOf(one).some(({ backend }) => backend.model === model)); // the cheapest that has it
  return tier === undefined ? null : { policy: `always-${tier.name}` };
}

/** Pure. Which embedder a model's name asks for: its own name, or its model. */
export const embedderOf = (model: string, { embedders }: Pick<TierFile, "embedders">): Embedder | undefined => embedders.find(({ name }) => name === model) ?? embedders.find((one) => replicasOf(one)[0].backend.model === model);

/** Pure. Every name that a request's `model` may have. `created`: when the price of the tier, or of the model's replica, became valid. */
export function modelsOf({ tiers, embedders }: Served): Model[] {
  const made = (id: string, created: number, owned_by: string): Model => ({ id, object: "model", created, owned_by });
  const createdOf = ({ price }: Pick<TierReplica, "price">) => Date.parse(price.valid_from) / 1_000;
  const newest = Math.max(...tiers.map(createdOf));
  const all = [
    made("auto", newest, "optimizer"),
    ...policyNames(tiers).map((policy) => made(`auto:${policy}`, newest, "optimizer")),
    ...[...tiers, ...embedders].map((tier) => made(tier.name, createdOf(tier), "optimizer")),
    ...[...tiers, ...embedders].flatMap(replicasOf).map((replica) => made(replica.backend.model, createdOf(replica), replica.backend.kind)),
  ];
  return [...new Map(all.toReversed().map((model) => [model.id, model])).values()].toReversed(); // of equal names the first
}
