import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { StatementQuery } from "#shared/contracts/report.ts";
import { readStatement } from "#shared/ledger/report.ts";

import { type Command, wrongUse } from "../command.ts";
import { statementCsv, statementText } from "../reportText.ts";
import { withTenancy } from "../tenancy.ts";
import { REPORT_TIMEOUT_MS } from "./report.ts";

export const statement: Command = {
  summary: "What a tenant pays for a month, line by line, and what it was not charged for.",
  usage: "--tenant <tenant> --month <2026-11> [--tz <time zone>] [--json | --csv]",
  details: [
    "--month     by when requests were accepted; it is final two days after its end",
    "--tz        whose month: Europe/Berlin (default: UTC)",
    "--json, --csv   exact nano-dollars, for programs and for spreadsheets",
  ],
  example: "inferctl statement --tenant acme --month 2026-11",
  options: { json: { type: "boolean" }, csv: { type: "boolean" }, tenant: { type: "string" }, month: { type: "string" }, tz: { type: "string" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, print }) => {
    const { json, csv, tenant, ...asked } = values;
    if (json === true && csv === true) throw wrongUse("statement", "--json and --csv exclude each other");
    if (typeof tenant !== "string") throw wrongUse("statement", "say whose: --tenant <tenant>");
    const query = StatementQuery.safeParse({ ...asked, tenant_id: tenant });
    if (!query.success) throw wrongUse("statement", inOneLine(issueLines(query.error)));
    const found = await withTenancy(environment, (rights) => readStatement(rights, { ...query.data, tenant_id: tenant }, { nowMs: Date.now(), timeoutMs: REPORT_TIMEOUT_MS }));
    print(json === true ? JSON.stringify(found) : csv === true ? statementCsv(found) : statementText(found));
    return 0;
  },
};
