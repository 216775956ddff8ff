import { semanticOf } from "#shared/cache/semanticKey.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { DEFAULT_SETTINGS, NewTenant, type SemanticCache, type Tenant, TenantChange, type TenantSettings } from "#shared/contracts/tenant.ts";
import { readAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { changeTenant, createTenant, listTenants, readTenant } from "#shared/tenancy/tenants.ts";

import { type Command, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { budgetLines, budgetsWith, pacedWith, type PacingChange, readBudget, readPacing } from "../budgetText.ts";
import { limitLines, limitsWith, readLimit } from "../limitText.ts";
import { withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";
import { eraseTenant, printErasures } from "./tenantErasure.ts";

const ACTOR = { kind: "inferctl" } as const;
const MOST_LISTED = 1_000;

export const tenants: Command = {
  summary: "Makes, changes and lists tenants: their limits, budgets, policy, allowed tiers, cache and retention.",
  usage: "list | show <tenant> | create <tenant> [options] | set <tenant> [options] | suspend <tenant> | resume <tenant> | history [<tenant>] | erase <tenant> [--user <id>] [--dry-run] [--yes] | erasures [<tenant>]",
  details: [
    "--name <text>               what people call it",
    "--limit <scope>.<kind>=<n>/s|min[,burst=<n>]   scope: tenant, user or key (each user, each API key); kind: requests or tokens; `none` takes it away. May be repeated",
    "--budget <scope>.day|month=<USD>[,soft]   of a calendar day or month; nothing is spent beyond it, or with `soft` it is said; `none` takes it away. May be repeated",
    "--pacing tenant.day|month[=below-floor|off]   the tenant's budget lasts to the end of its window at the best quality that it buys, never below the quality floor, or with `below-floor` there too. May be repeated",
    "--time-zone <name>          whose days and months: Europe/Berlin; default UTC",
    "--policy <name>             of requests that name none; `default`: the tier file's",
    "--allow-tier <tier>         tiers and embedders that may be asked, and no others; may be repeated; `all`",
    "--cache off|deterministic|all, --cache-ttl <seconds>   which finished answers are given again, and for how long",
    "--semantic on|off, --max-false-hit-rate <share>, --cache-audit-share <share>   the same for questions in other words; needs `inferctl cache evaluate --store`",
    "--prompts hashed|stored     what the audit keeps of what is asked",
    "--outputs stored|hashed     what the audit's rows keep of answers; the audit stream has them for its time in any case",
    "--retention-days <n>        audit rows older than this are deleted; `default`: as INFER_AUDIT_RETENTION_DAYS says",
    "history                     who changed what of tenants and keys, the latest first",
    "erase                       deletes what is kept of a tenant, which is suspended first, or of one of its users; the books stay, without the user's id. It cannot be undone; repeated, it goes on (docs/privacy.md)",
    "--user <id>, --dry-run, --yes   of erase: of this `user_id` alone; count what it would take; do it",
    "erasures                    who was erased, and when the streams are clear of it",
    "--json                      for programs",
    "Gateways and routers follow a change within 30 s.",
  ],
  example: "inferctl tenants create acme --limit tenant.requests=100/s,burst=50 --limit user.tokens=20000/min --allow-tier small --allow-tier large",
  options: {
    json: { type: "boolean" }, user: { type: "string" }, "dry-run": { type: "boolean" }, yes: { type: "boolean" }, name: { type: "string" }, limit: { type: "string", multiple: true }, budget: { type: "string", multiple: true }, pacing: { type: "string", multiple: true }, "time-zone": { type: "string" }, policy: { type: "string" }, "allow-tier": { type: "string", multiple: true },
    cache: { type: "string" }, "cache-ttl": { type: "string" }, semantic: { type: "string" }, "max-false-hit-rate": { type: "string" }, "cache-audit-share": { type: "string" }, prompts: { type: "string" }, outputs: { type: "string" }, "retention-days": { type: "string" },
  },
  maxPositionals: 2,
  verbs: ["list", "show", "create", "set", "suspend", "resume", "history", "erase", "erasures"],
  run: ({ values, positionals: [verb, tenantId] }, context) => withTenancy(context.environment, async (rights) => {
    const { print } = context;
    const say = sayer({ values }, { print });
    const named = (): string => tenantId ?? refuse(`say which tenant to ${verb ?? ""}`);
    switch (verb ?? "") {
      case "list": {
        const found = await listTenants(rights, { limit: MOST_LISTED });
        say({ tenants: found }, found.length === 0 ? "no tenant yet; make one with: inferctl tenants create <tenant>" : listOf(found));
        return 0;
      }
      case "show": {
        const tenant = (await readTenant(rights, named())) ?? refuse(`there is no tenant ${named()}`);
        say(tenant, describe(tenant));
        return 0;
      }
      case "create": {
        const made = await createTenant(rights, ACTOR, checked(NewTenant, { tenant_id: named(), ...changeOf(values, null) }));
        say(made, `${describe(made)}\n\nGive it a key with: inferctl keys create --tenant ${made.tenant_id}`);
        return 0;
      }
      case "set": {
        const changed = await changeTenant(rights, ACTOR, named(), (before) => checked(TenantChange, changeOf(values, before)));
        say(changed, describe(changed));
        return 0;
      }
      case "suspend":
      case "resume": {
        const changed = await changeTenant(rights, ACTOR, named(), () => ({ status: verb === "suspend" ? "suspended" : "active" }));
        say(changed, `tenant ${changed.tenant_id} is ${changed.status}`);
        return 0;
      }
      case "history": {
        const changes = await readAdminAudit(rights, { tenantId, limit: 100 });
        say({ changes }, changes.length === 0 ? "nothing was changed yet" : textTable(["at", "by", "tenant", "what", "of", "change"], changes.map(({ at, actor, tenant_id, action, object, change }) => [at, actor, tenant_id ?? "-", action, object, JSON.stringify(change)])));
        return 0;
      }
      case "erase": return eraseTenant(named(), { values }, context, rights);
      case "erasures": return printErasures(tenantId, { values }, context, rights);
      default: return refuse(verb === undefined ? "say what to do with the tenants" : `there is no "tenants ${verb}"`);
    }
  }),
};

function refuse(message: string): never {
  throw wrongUse("tenants", message);
}

function checked<T>(schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: Parameters<typeof issueLines>[0] } }, value: unknown): T {
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : refuse(inOneLine(issueLines(parsed.error)));
}

/** What the options say, over what there is. A number that is none is told by the schema. */
function changeOf(values: ParsedArguments["values"], before: Tenant | null) {
  const text = (option: string): string | undefined => (typeof values[option] === "string" ? values[option] : undefined);
  const texts = (option: string): string[] => [values[option] ?? []].flat().map(String);
  const limits = texts("limit").map((limit) => readLimit(limit) ?? refuse(`--limit ${limit}: not of the form tenant.requests=100/s,burst=50`));
  const budgets = texts("budget").map((budget) => readBudget(budget) ?? refuse(`--budget ${budget}: not of the form tenant.month=500 or user.day=0.5,soft`));
  const pacings = texts("pacing").map((pacing) => readPacing(pacing) ?? refuse(`--pacing ${pacing}: not of the form tenant.month or tenant.month=below-floor`));
  const timeZone = text("time-zone");
  const number = (option: string): number | undefined => (text(option) === undefined ? undefined : Number(text(option)));
  const cache = { mode: text("cache"), ttl_s: number("cache-ttl") };
  const semantic = { max_false_hit_rate: number("max-false-hit-rate"), audit_share: number("cache-audit-share") };
  const days = text("retention-days");
  const retention = { prompts: text("prompts"), outputs: text("outputs"), days: days === undefined ? undefined : days === "default" ? null : Number(days) };
  const tiers = texts("allow-tier");
  const { settings: had } = before ?? {};
  const settings = {
    ...(limits.length === 0 ? {} : { limits: limitsWith(had?.limits ?? { tenant: {}, user: {}, key: {} }, limits) }),
    ...(budgets.length === 0 && pacings.length === 0 && timeZone === undefined ? {} : { budgets: { ...pacings.reduce(paced, budgetsWith(had?.budgets ?? DEFAULT_SETTINGS.budgets, budgets)), ...(timeZone === undefined ? {} : { time_zone: timeZone }) } }),
    ...(text("policy") === undefined ? {} : { policy: text("policy") === "default" ? null : text("policy") }),
    ...(tiers.length === 0 ? {} : { allowed_tiers: tiers.includes("all") ? null : tiers }),
    ...(isSet({ ...cache, ...semantic, isOn: values["semantic"] }) ? { cache: { ...had?.cache, ...withoutUnset(cache), ...semanticWith(text("semantic"), had?.cache.semantic, semantic) } } : {}),
    ...(isSet(retention) ? { retention: { ...had?.retention, ...withoutUnset(retention) } } : {}),
  };
  return { ...(text("name") === undefined ? {} : { name: text("name") }), settings };
}
const paced = (budgets: TenantSettings["budgets"], pacing: PacingChange) => pacedWith(budgets, pacing) ?? refuse(`--pacing tenant.${pacing.window}: the tenant has no such budget; give it one with --budget tenant.${pacing.window}=<USD>`);
/** Without a guard's version where it is to be approved: what is named as it was stays as it is. */
function semanticWith(isOn: string | undefined, had: SemanticCache | undefined, change: object): { readonly semantic?: object | undefined } {
  switch (isOn) {
    case "off": return { semantic: undefined };
    case "on": return { semantic: { ...had, guard_version: undefined, ...withoutUnset(change) } };
    case undefined:
      if (had === undefined && isSet(change)) return refuse("--max-false-hit-rate and --cache-audit-share are of the semantic cache: --semantic on");
      return had === undefined ? {} : { semantic: { ...had, ...withoutUnset(change) } };
    default: return refuse("--semantic is on or off");
  }
}
const withoutUnset = (group: object) => Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined));
const isSet = (group: object): boolean => Object.values(group).some((value) => value !== undefined);

const listOf = (found: readonly Tenant[]): string =>
  textTable(["tenant", "name", "status", "limits"], found.map(({ tenant_id, name, status, settings: { limits } }) => [tenant_id, name, status, limitLines(limits).join("; ") || "none"]));

function describe({ tenant_id, name, status, settings: { policy, allowed_tiers, limits, budgets, cache, retention } }: Tenant): string {
  const lines = limitLines(limits), money = budgetLines(budgets);
  return [
    `tenant ${tenant_id}${name === tenant_id ? "" : ` (${name})`}, ${status}`,
    `  policy         ${policy ?? "the tier file's default"}`,
    `  allowed tiers  ${allowed_tiers?.join(", ") ?? "all"}`,
    `  limits         ${lines.length === 0 ? "none" : lines.join("\n                 ")}`,
    `  budgets        ${money.length === 0 ? "none" : [...money, `(${budgets.time_zone})`].join("\n                 ")}`,
    `  cache          ${cache.mode}${cache.mode === "off" ? "" : `, for ${cache.ttl_s} s`}${cache.semantic === undefined ? "" : `; semantic ${semanticOf(cache) === null ? "off, until it is evaluated again" : "on"}: at most ${cache.semantic.max_false_hit_rate} false hits, ${cache.semantic.audit_share} audited`}`,
    `  retention      prompts ${retention.prompts}, answers ${retention.outputs ?? "stored"}, ${retention.days === null ? "audit rows as INFER_AUDIT_RETENTION_DAYS says" : `audit rows for ${retention.days} days`}`,
  ].join("\n");
}
