import type { ConsoleRequestRow } from "#shared/contracts/console.ts";

import { formatClock, formatConfidence, formatDay, formatMs, formatTime } from "../pure/format.ts";
import { formatUsd } from "../pure/money.ts";
import { commonOf, type Filters, hrefOf } from "../pure/urlState.ts";
import { OutcomeBadge } from "./outcomeBadge.tsx";

interface RequestTableProps {
  readonly caption: string;
  readonly rows: readonly ConsoleRequestRow[];
  readonly filters: Filters;
  readonly zone: string;
}

/** Narrow screens have three columns: some are left out, some stand below another. */
export function RequestTable({ caption, rows, filters, zone }: RequestTableProps) {
  const today = formatDay(Date.now(), zone);
  const timeWords = ({ accepted_at }: ConsoleRequestRow) => (formatDay(accepted_at, zone) === today ? formatClock(accepted_at, zone) : formatTime(accepted_at, zone));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`${caption}, table`}>
      <table class="requests">
        <caption class="sr-only">{caption}</caption>
        <thead>
          <tr>
            <th scope="col" class="roomy">Accepted</th><th scope="col">Request</th><th scope="col" class="roomy">Tenant</th><th scope="col">Outcome</th><th scope="col" class="roomy">Tier</th><th scope="col" class="roomy num">Attempts</th>
            <th scope="col" class="roomy num">Confidence</th><th scope="col" class="num">Cost<span class="tight">and latency</span></th><th scope="col" class="roomy num">Baseline</th><th scope="col" class="roomy num">Latency</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={`${row.tenant_id}/${row.request_id}`}>
              <td class="roomy time"><time dateTime={row.accepted_at}>{timeWords(row)}</time></td>
              <th scope="row" class="id"><a href={hrefOf({ view: { name: "request", tenantId: row.tenant_id, requestId: row.request_id }, filters: commonOf(filters) })}>{row.request_id}</a><span class="tight note">{timeWords(row)}</span></th>
              <td class="roomy">{row.tenant_id}</td>
              <td><OutcomeBadge outcome={row.outcome} />{row.is_cached && <> <span class="badge">kept answer</span></>}{row.tier !== null && <span class="tight note">{row.tier}</span>}</td>
              <td class="roomy">{row.tier ?? "–"}</td>
              <td class="roomy num">{row.attempts}</td>
              <td class="roomy num">{formatConfidence(row.confidence)}</td>
              <td class="num">{formatUsd(row.cost_nano_usd)}<span class="tight note">{formatMs(row.latency_ms)}</span></td>
              <td class="roomy num">{row.baseline_cost_nano_usd === null ? "–" : formatUsd(row.baseline_cost_nano_usd)}</td>
              <td class="roomy num">{formatMs(row.latency_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
