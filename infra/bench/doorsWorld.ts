/** Requests of all kinds whose outcome depends on nothing but themselves, on tiers that do what the prompt says. */
import { type Behaviour, prompt } from "#infra/e2e/modelServer.ts";
import type { TestTier } from "#infra/e2e/tierFile.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

/** One that fails now and then opens no breaker: that would be a live input, and decide. */
export const TIERS: readonly TestTier[] = ["small", "medium", "large"].map((name) => ({ name, slots: 64, breaker: { failures_in_a_row: 1_000, open_for_ms: 100 } }));
const POLICIES = ["cascade", "cascade-routing", "predictive", "cheapest", "static", "always-large", undefined] as const;
export const TENANT = "doors";

export type Asked = Omit<InferBody, "request_id"> & { readonly request_id: string };
/** Without the door's part of the id. The deadline is far, so that no live input comes near to deciding. */
export function requestsOf(count: number, seed: number): Asked[] {
  const random = seededRandom(seed);
  const drawn = <T>(values: readonly T[]): T | undefined => values[Math.floor(random() * values.length)];
  const behaviour = (): Behaviour => drawn<Behaviour>([{ confidence: 0.99 }, { confidence: 0.95 }, { confidence: 0.5 }, { confidence: 0.8 }, { finish: "length" }, { status: 500 }]) ?? {};
  return Array.from({ length: count }, (_, i) => {
    const policy = drawn(POLICIES);
    const range = drawn<Pick<InferBody, "min_tier" | "max_tier" | "min_quality">>([{}, {}, {}, { min_tier: "medium" }, { max_tier: "medium" }, { min_quality: 0.97 }]) ?? {};
    return {
      request_id: String(i), tenant_id: TENANT, user_id: `u-${i % 7}`, input: prompt(`n-${i}`, { small: behaviour(), medium: behaviour(), large: { confidence: 0.9 } }), budget: drawn([5, 1, 0.000_2, 0.000_000_1]) ?? 1,
      deadline_ms: 120_000, ...range, ...(policy === undefined ? {} : { policy }), ...(i % 3 === 0 ? { task: "mail" } : {}),
    };
  });
}
