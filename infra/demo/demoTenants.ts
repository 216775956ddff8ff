/** For whom the demo asks: tenants that differ in what they want of it. Made once, and then left as they are. */
import { AppError } from "#shared/contracts/errors.ts";
import type { NewTenant } from "#shared/contracts/tenant.ts";
import type { Rights } from "#shared/tenancy/database.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

export const DEMO_TENANTS = ["demo-helpdesk", "demo-shop", "demo-thrift", "demo-baseline"] as const;
export type DemoTenant = (typeof DEMO_TENANTS)[number];

const SETTINGS: Readonly<Record<DemoTenant, Omit<NewTenant, "tenant_id">>> = {
  "demo-helpdesk": { name: "Demo: the default policy, with a budget", settings: { budgets: { time_zone: "UTC", tenant: { month: { usd: 100, kind: "hard" } }, user: {}, key: {} } } },
  "demo-shop": { name: "Demo: a cascade, and a cache for what is asked again", settings: { cache: { mode: "all", ttl_s: 3_600 } } },
  "demo-thrift": { name: "Demo: always the cheapest tier", settings: {} },
  "demo-baseline": { name: "Demo: always the baseline tier, to compare with", settings: {} },
};

export function policyOf(tenant: DemoTenant, baselineTier: string): string {
  switch (tenant) {
    case "demo-helpdesk": return "cascade-routing";
    case "demo-shop": return "cascade";
    case "demo-thrift": return "cheapest";
    case "demo-baseline": return `always-${baselineTier}`;
  }
}

/** Safe to repeat: what there is of them stays as somebody may have set it. */
export async function makeDemoTenants(rights: Rights): Promise<void> {
  for (const tenant_id of DEMO_TENANTS) {
    await createTenant(rights, { kind: "inferctl" }, { tenant_id, ...SETTINGS[tenant_id] }).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "conflict") throw error;
    });
  }
}
