/**
 * Who may do what in Postgres: the one list. `inferctl migrate` and `up` apply it after the migrations (`applyPermissions.ts`), docs/security.md
 * is made from it, and a table of `schema/` that has no line here fails a test (ADR 0028). Pure.
 */

/** Each process connects as its own, whoever logs in. `admin`: whoever reads all of it for those who run the service, as `inferctl` does. */
export const SERVICES = ["gateway", "router", "worker", "audit_sink", "metrics_sink", "webhook_sender", "console", "admin"] as const;
export type DatabaseService = (typeof SERVICES)[number];
/** What a service becomes for a transaction: a tenant's caller (rows of `app.tenant` alone), one who only looks at them, an operator's, who deletes what is past its retention, or who erases a tenant or a user. */
const TAKEN_ROLES = ["tenant", "viewer", "operator", "retention", "eraser"] as const;
export type TakenRole = (typeof TAKEN_ROLES)[number];
export type DatabaseRole = DatabaseService | TakenRole;
export const DATABASE_ROLES: readonly DatabaseRole[] = [...SERVICES, ...TAKEN_ROLES];

/** In the server, whose roles are those of all its databases. */
export const roleName = (role: DatabaseRole): string => `infer_${role}`;

export const MAY_BECOME: Readonly<Record<DatabaseService, readonly TakenRole[]>> = {
  gateway: ["tenant", "operator"], router: [], worker: [], audit_sink: ["retention", "eraser"], metrics_sink: [], webhook_sender: [], console: ["viewer"], admin: ["tenant", "operator", "retention", "eraser"],
};

/** As in GRANT: of all columns, or of those that it names. */
export type Verb = "SELECT" | "INSERT" | "UPDATE" | "DELETE" | `${"SELECT" | "INSERT" | "UPDATE"} (${string})`;
export interface TableRights {
  /** It has a `tenant_id`: row-level security binds everybody, the owner included; `tenant` and `viewer` see their own rows, the others all. */
  readonly hasTenant: boolean;
  /** Nobody truncates it, only `retention` and `eraser` delete from it, and only `eraser` changes it, to say less: by triggers, which also bind the owner. */
  readonly isAppendOnly?: boolean;
  readonly rights: Readonly<Partial<Record<DatabaseRole, readonly Verb[]>>>;
}

const READ = ["SELECT"] as const;
const APPEND = ["SELECT", "INSERT"] as const;
const EXPIRE = ["SELECT", "DELETE"] as const;
const KEEP = ["SELECT", "INSERT", "UPDATE", "DELETE"] as const;
/** For people who look: of all tenants, or of one. */
const SHOWN = { console: READ, viewer: READ } as const;
/** Written by the audit sink, read by whoever may ask. */
const AUDITED = { audit_sink: APPEND, retention: EXPIRE, tenant: READ, operator: READ, admin: READ, ...SHOWN } as const;
/** Of a tenant's or a user's events, that may be erased. */
const ERASABLE = { ...AUDITED, eraser: EXPIRE } as const;
/** Books stay as they are, but for a user's name. */
const RENAMED = ["SELECT", "UPDATE (user_id)"] as const;
/** Kept by a trigger, with the rights of whoever writes what it sums. */
const SUMMED = { audit_sink: ["SELECT", "INSERT", "UPDATE"], retention: EXPIRE, admin: READ, ...SHOWN } as const;
/** Never what a secret is compared with. */
const SHOWN_OF_KEYS = "SELECT (key_id, tenant_id, role, name, last_four, created_at, expires_at, revoked_at)";
const CHECKED_OF_KEYS = "SELECT (key_id, tenant_id, role, secret_hmac, expires_at, revoked_at)";
const ROTATED = "UPDATE (status, secret_sealed, former_sealed, former_until, updated_at)";
/** What was done of an erasure; what is erased is an operator's to say. */
const DONE = "UPDATE (rows_done_at, keys_done_at, counts)";
const RETRIED = "UPDATE (status, tries, next_at)";

export const TABLES: Readonly<Record<string, TableRights>> = {
  requests: { hasTenant: true, isAppendOnly: true, rights: { ...ERASABLE, router: READ } },
  attempts: { hasTenant: true, isAppendOnly: true, rights: ERASABLE },
  feedback: { hasTenant: true, rights: { ...ERASABLE, audit_sink: ["SELECT", "INSERT", "UPDATE"] } },
  shadows: { hasTenant: true, isAppendOnly: true, rights: ERASABLE },
  shadow_tiers: { hasTenant: true, isAppendOnly: true, rights: ERASABLE },
  cache_audits: { hasTenant: true, isAppendOnly: true, rights: ERASABLE },
  cache_audit_counts: { hasTenant: true, rights: { audit_sink: ["SELECT", "INSERT", "UPDATE"], tenant: READ, operator: READ, admin: READ } },
  cache_evaluations: { hasTenant: true, isAppendOnly: true, rights: { tenant: READ, operator: APPEND, admin: READ } },

  ledger: { hasTenant: true, isAppendOnly: true, rights: { ...AUDITED, router: READ, eraser: RENAMED } },
  ledger_requests: { hasTenant: true, isAppendOnly: true, rights: { ...AUDITED, router: READ, eraser: RENAMED } },
  request_hours: { hasTenant: true, rights: SUMMED },
  line_hours: { hasTenant: true, rights: SUMMED },
  beside_requests: { hasTenant: true, rights: SUMMED },
  reconcile_marks: { hasTenant: false, rights: { router: KEEP, audit_sink: KEEP, admin: READ } },
  reconcile_differences: { hasTenant: true, rights: { router: KEEP, audit_sink: KEEP, admin: READ, eraser: EXPIRE } },

  tenants: {
    hasTenant: true,
    // Whoever locks a row needs a right to change it; the audit sink switches off a semantic cache that was disproved.
    rights: { gateway: READ, router: READ, audit_sink: ["SELECT", "UPDATE (settings, updated_at)"], retention: READ, eraser: ["SELECT", "UPDATE (name, settings)"], tenant: READ, operator: ["SELECT", "INSERT", "UPDATE"], admin: READ, ...SHOWN },
  },
  api_keys: {
    hasTenant: true,
    rights: { gateway: [CHECKED_OF_KEYS], console: [CHECKED_OF_KEYS], tenant: [SHOWN_OF_KEYS, "INSERT", "UPDATE (revoked_at)"], operator: [SHOWN_OF_KEYS, "INSERT", "UPDATE (revoked_at)"], admin: [SHOWN_OF_KEYS], eraser: ["SELECT (key_id, tenant_id, created_at)", "DELETE"] },
  },
  admin_audit: { hasTenant: true, isAppendOnly: true, rights: { audit_sink: ["INSERT"], webhook_sender: ["INSERT"], tenant: APPEND, operator: APPEND, admin: READ, console: READ, eraser: ["SELECT", "UPDATE (change)"] } },
  erasures: { hasTenant: true, rights: { gateway: READ, router: ["SELECT", DONE], audit_sink: ["SELECT", DONE], operator: ["SELECT", "INSERT", "UPDATE"], admin: ["SELECT", DONE] } },

  batches: { hasTenant: true, rights: { gateway: ["SELECT", "UPDATE"], retention: EXPIRE, eraser: EXPIRE, tenant: ["SELECT", "INSERT", "UPDATE"], admin: READ } },
  batch_items: { hasTenant: true, rights: { gateway: ["SELECT", "UPDATE (request, result)"], retention: EXPIRE, eraser: EXPIRE, tenant: ["SELECT", "INSERT", "DELETE"], admin: READ } },

  webhook_endpoints: {
    hasTenant: true,
    rights: {
      // Which of them an event goes to, without their secrets.
      gateway: ["SELECT (endpoint_id, tenant_id, status)"], audit_sink: ["SELECT (endpoint_id, tenant_id, status)"], webhook_sender: ["SELECT", "UPDATE (status, updated_at)"], retention: EXPIRE, eraser: ["SELECT (endpoint_id, tenant_id, created_at)", "DELETE"],
      tenant: ["SELECT", "INSERT", ROTATED], operator: ["SELECT", "INSERT", ROTATED], admin: ["SELECT (endpoint_id, tenant_id, url, status, created_at, updated_at)"],
    },
  },
  webhook_deliveries: {
    hasTenant: true,
    rights: { gateway: ["INSERT"], audit_sink: ["INSERT"], webhook_sender: ["SELECT", "UPDATE (status, tries, next_at, last_status, last_error, delivered_at)"], retention: EXPIRE, eraser: EXPIRE, tenant: ["SELECT", RETRIED], operator: ["SELECT", RETRIED], admin: READ },
  },
};

/** What has to be there before a service can work. */
export const tablesOf = (role: DatabaseRole): string[] => Object.entries(TABLES).flatMap(([table, { rights }]) => (rights[role] === undefined ? [] : [table]));
