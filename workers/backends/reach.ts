import { replicasOf, type Tier } from "#shared/contracts/tiers.ts";
import { type Allowance, problemOfUrl } from "#shared/reach/target.ts";

/** What is wrong with the addresses of a tier's servers, as far as the tier file says; what their names resolve to is judged at each connection. */
export function problemsOfTier(tier: Pick<Tier, "name" | "backend" | "replicas" | "price">, allowance: Allowance): string[] {
  return replicasOf(tier).flatMap(({ name, backend }) => {
    const problem = "base_url" in backend ? problemOfUrl(backend.base_url, allowance) : null;
    return problem === null ? [] : [`tier ${tier.name}${name === tier.name ? "" : `, replica ${name}`}, base_url: ${problem}; INFER_BACKEND_ALLOW names networks and hosts that models' servers may be at`];
  });
}
