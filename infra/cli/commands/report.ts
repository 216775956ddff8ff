import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { ReportQuery } from "#shared/contracts/report.ts";
import { readReport } from "#shared/ledger/report.ts";

import { type Command, wrongUse } from "../command.ts";
import { reportCsv, reportText } from "../reportText.ts";
import { withTenancy } from "../tenancy.ts";

/** Longer than a service waits: somebody looks at it. */
export const REPORT_TIMEOUT_MS = 120_000;

export const report: Command = {
  summary: "What was spent, saved and lost, from the books: by tenant, user, tier, model, policy or day.",
  usage: "--by tenant|user|tier|model|policy|day [--from <day>] [--to <day>] [--tenant <tenant>] [--tz <time zone>] [--limit <n>] [--json | --csv]",
  details: [
    "--by        default: tenant. By tier and model: what was paid to each, against the baseline's cost of what it answered",
    "--from      a day (2026-11-01) or a time (2026-11-01T08:00:00Z); default: the beginning of this month",
    "--to        the first day, or moment, that is not in it any more; default: a month after the beginning of the month of --from",
    "--tenant    of this tenant alone",
    "--tz        whose days and months: Europe/Berlin (default: UTC)",
    "--limit     groups that are shown, those that cost most first (default 1000)",
    "--json, --csv   exact nano-dollars, for programs and for spreadsheets",
    "net saving: what the answers would have cost on the baseline tier, less all lines; a LOSS is one. docs/reports.md says what each figure means.",
  ],
  example: "inferctl report --by model --from 2026-11-01 --to 2026-12-01",
  options: { json: { type: "boolean" }, csv: { type: "boolean" }, by: { type: "string" }, from: { type: "string" }, to: { type: "string" }, tenant: { type: "string" }, tz: { type: "string" }, limit: { type: "string" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, print }) => {
    const { json, csv, tenant, ...asked } = values;
    if (json === true && csv === true) throw wrongUse("report", "--json and --csv exclude each other");
    const query = ReportQuery.safeParse({ ...asked, ...(tenant === undefined ? {} : { tenant_id: tenant }) });
    if (!query.success) throw wrongUse("report", inOneLine(issueLines(query.error)));
    const found = await withTenancy(environment, (rights) => readReport(rights, query.data, { nowMs: Date.now(), timeoutMs: REPORT_TIMEOUT_MS }));
    print(json === true ? JSON.stringify(found) : csv === true ? reportCsv(found) : reportText(found));
    return 0;
  },
};
