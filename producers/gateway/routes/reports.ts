/**
 * Reports over the books. A tenant's key sees its own tenant's, by row-level security; a key of whoever runs the service sees all. Not keys that ask models: what
 * each user of a tenant spends is for people, not for what runs in an app.
 */
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Pool } from "pg";

import type { Principal } from "#shared/contracts/apiKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import { Report, ReportQuery, Statement, StatementQuery } from "#shared/contracts/report.ts";
import { readReport, readStatement } from "#shared/ledger/report.ts";
import { noSuchTenant } from "#shared/tenancy/database.ts";

import { rightsIn } from "../adminRights.ts";

const config = { role: "read" as const };
const tenant_id = TenantId.optional().describe("For whoever runs the service: of this tenant alone.");

export const reportsRoutes = ({ pool }: { readonly pool: Pool }): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["reports"];
  const rightsOf = rightsIn(pool);
  const errors = { "4xx": ErrorReply, "5xx": ErrorReply };
  app.get("/reports", { schema: { summary: "What was spent, saved and lost", description: "Needs a key with the role `read` or `admin`. docs/reports.md says what each figure means.", tags, querystring: ReportQuery.extend({ tenant_id }), response: { 200: Report, ...errors } }, config },
    async ({ principal, query }) => {
      mayRead(principal, query.tenant_id);
      return readReport(rightsOf(principal), query, { nowMs: Date.now() });
    });
  app.get("/reports/statement", { schema: { summary: "What a tenant pays for a month", description: "Needs a key with the role `read` or `admin`.", tags, querystring: StatementQuery.extend({ tenant_id }), response: { 200: Statement, ...errors } }, config },
    async ({ principal, query }) => {
      mayRead(principal, query.tenant_id);
      const tenantId = principal.tenant_id ?? query.tenant_id;
      if (tenantId === undefined) throw new AppError("invalid_request", "tenant_id: say whose statement it is");
      return readStatement(rightsOf(principal), { ...query, tenant_id: tenantId }, { nowMs: Date.now() });
    });
  done();
};

/** Of another tenant nobody hears even that it is there. */
function mayRead({ roles, tenant_id: own }: Principal, named: string | undefined): void {
  if (roles.has("infer") && !roles.has("admin")) throw new AppError("forbidden", "reports need a key with the role read or admin: one that asks models has no part in them");
  if (own !== null && named !== undefined && named !== own) throw noSuchTenant(named);
}
