import type { RateLimit, TenantSettings } from "#shared/contracts/tenant.ts";

export type LimitChange = { readonly scope: keyof TenantSettings["limits"]; readonly kind: "requests" | "tokens"; readonly limit: RateLimit | null };

const FORM = /^(tenant|user|key)\.(requests|tokens)=(?:(none)|(\d+(?:\.\d+)?)\/(s|second|min|minute)(?:,burst=(\d+))?)$/;
/** `tenant.requests=100/s,burst=50`, `user.tokens=20000/min`, `key.requests=none`. Without `burst` what flows back in one period. `null`: not of this form. */
export function readLimit(text: string): LimitChange | null {
  const [, scope, kind, none, rate, per, burst] = FORM.exec(text) ?? [];
  if (scope === undefined || kind === undefined) return null;
  const of = { scope: scope as LimitChange["scope"], kind: kind as LimitChange["kind"] }; // as the pattern says
  if (none !== undefined) return { ...of, limit: null };
  const flow = Number(rate);
  if (flow <= 0) return null;
  return { ...of, limit: { rate: flow, per: per?.startsWith("s") === true ? "second" : "minute", burst: Math.max(1, burst === undefined ? Math.ceil(flow) : Number(burst)) } };
}

/** The limits with each of the changes. */
export function limitsWith(limits: TenantSettings["limits"], changes: readonly LimitChange[]): TenantSettings["limits"] {
  return changes.reduce((all, { scope, kind, limit }) => {
    const { [kind]: _before, ...others } = all[scope];
    return { ...all, [scope]: limit === null ? others : { ...others, [kind]: limit } };
  }, limits);
}

const shown = ({ rate, per, burst }: RateLimit): string => `${rate}/${per}, burst ${burst}`;
/** One line for each limit that there is. */
export const limitLines = (limits: TenantSettings["limits"]): string[] =>
  Object.entries(limits).flatMap(([scope, { requests, tokens }]) => [...(requests === undefined ? [] : [`${scope} requests: ${shown(requests)}`]), ...(tokens === undefined ? [] : [`${scope} tokens: ${shown(tokens)}`])]);
