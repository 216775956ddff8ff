/** Which tenants this set-up serves, and what holds for them now. */
import type { Environment } from "#infra/embedded/homeFolder.ts";
import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { makePool } from "#shared/db/pool.ts";
import { makeDirectory, type Standing } from "#shared/tenancy/directory.ts";

import { EXIT_UNAVAILABLE } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";

export interface KnownTenants {
  /** `null`: it is not served here. Without keys anybody's name is a tenant. Throws a `SetupError` when Postgres cannot be asked. */
  readonly standingOf: (tenantId: string) => Promise<Standing | null>;
  /** Whether the request has a label in Postgres. */
  readonly isLabelled: (id: { readonly tenant_id: string; readonly request_id: string }) => Promise<boolean>;
}

export async function withKnownTenants<T>(environment: Environment, use: (tenants: KnownTenants) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const isKeyless = !readSettings(environment, home).asksForLogins;
  const pool = makePool(serverUrl("postgres", environment, home), "inferctl", () => undefined); // the query that it breaks says so
  const directory = makeDirectory({ pool, pepper: null, now: Date.now });
  const tenants: KnownTenants = {
    async standingOf(tenantId) {
      const standing = await directory.standingOf(tenantId).catch((error: unknown) => { throw error instanceof AppError && error.isOutage ? unreachable(error) : error; });
      if (standing?.status === "suspended") return null;
      return standing ?? (isKeyless ? { status: "active", settings: DEFAULT_SETTINGS } : null);
    },
    async isLabelled({ tenant_id, request_id }) {
      const { rowCount } = await pool.query("SELECT FROM shadows WHERE tenant_id = $1 AND request_id = $2", [tenant_id, request_id]).catch((error: unknown) => { throw unreachable(error); });
      return rowCount !== 0;
    },
  };
  try {
    return await use(tenants);
  } finally {
    await pool.end();
  }
}

const unreachable = (cause: unknown) => new SetupError(`Postgres cannot be asked which tenants there are: ${cause instanceof Error ? cause.message : String(cause)}`, "Is it up, with our tables? See: inferctl status; inferctl migrate", { exitCode: EXIT_UNAVAILABLE, cause });
