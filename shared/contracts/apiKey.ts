/** Keys that callers show over HTTP: `cao_<key id>_<secret>`. The secret is shown once; only its HMAC is kept. */
import { z } from "zod";

import { TenantId } from "./ids.ts";
import { wellFormed } from "./text.ts";

/** `infer`: asks models and reads its own tenant's requests. `read`: reads them. `admin`: reads them, and manages keys; it asks no model. */
export const KeyRole = z.enum(["infer", "read", "admin"]);
export type KeyRole = z.infer<typeof KeyRole>;

export const KeyId = z.string().regex(/^[a-z0-9]{12}$/, "a key id is 12 of a-z 0-9");

export const ApiKey = z.strictObject({
  key_id: KeyId,
  /** `null`: of whoever runs the service; with the role `admin` it manages all tenants. */
  tenant_id: TenantId.nullable(),
  role: KeyRole,
  /** Of what uses it. Two keys of a name may live at a time, so that one can replace the other. */
  name: wellFormed(z.string().min(1).max(128)),
  /** Of the secret, so that a person can tell keys apart. */
  last_four: z.string().length(4),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable(),
  revoked_at: z.iso.datetime().nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;

export const NewKey = z.strictObject({ role: KeyRole.default("infer"), name: ApiKey.shape.name.default("default"), expires_at: z.iso.datetime().optional() });
export type NewKey = z.infer<typeof NewKey>;

/** The only time that the key itself is told. */
export const CreatedKey = ApiKey.extend({ key: z.string().describe("Shown once: keep it now.") });
export type CreatedKey = z.infer<typeof CreatedKey>;

/** Who calls, as far as it is known. */
export interface Principal {
  /** `null`: any tenant, as on a set-up without keys, or for whoever runs the service. */
  readonly tenant_id: string | null;
  /** `null`: no key was asked for. */
  readonly key_id: string | null;
  readonly roles: ReadonlySet<KeyRole>;
}
/** On a set-up without keys, which only this machine reaches. */
export const KEYLESS: Principal = { tenant_id: null, key_id: null, roles: new Set(KeyRole.options) };
