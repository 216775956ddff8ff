import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

/** Pure: why a model does not fit these tiers, cheapest first, and this baseline, where it is given; `null` when it does. */
export function tierProblem({ tiers: known, baseline_tier }: Pick<RoutingModelFile, "tiers" | "baseline_tier">, { tiers, baseline_tier: baselineTier }: Pick<TierFile, "baseline_tier"> & { readonly tiers: readonly Pick<TierFile["tiers"][number], "name">[] }): string | null {
  const names = tiers.map(({ name }) => name);
  const isSame = known.length === names.length && known.every((tier) => names.includes(tier));
  if (!isSame) return `it was trained for the tiers ${known.join(", ")}, and the tier file has ${names.join(", ")}`;
  const [dearer, cheaper] = known.flatMap((tier, place) => { const before = known[place - 1] ?? tier; return names.indexOf(before) > names.indexOf(tier) ? [tier, before] : []; });
  if (dearer !== undefined && cheaper !== undefined) return `by its rows' costs ${cheaper} is cheaper than ${dearer}, and the tier file, cheapest first, has ${names.join(", ")}: is --map right?`;
  if (baseline_tier !== baselineTier) return `its baseline is ${baseline_tier}, and the tier file's baseline_tier is ${baselineTier}: are --map and --baseline right?`;
  return null;
}
