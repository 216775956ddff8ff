import type { ConsoleBudgets } from "#shared/contracts/console.ts";
import { useState } from "preact/hooks";

import { changeBudget } from "../parts/admin.ts";
import { Confirm } from "../parts/confirm.tsx";
import { type ViewProps, useFiltered } from "../parts/filtered.ts";
import { Panel } from "../parts/panel.tsx";
import { formatShare, formatTime } from "../pure/format.ts";
import { formatUsdNumber } from "../pure/money.ts";
import { paceOf, windowKind } from "../pure/pace.ts";
import { requestsHref } from "../pure/urlState.ts";
import { startOfDay, startOfMonth } from "../pure/zone.ts";

type Budget = ConsoleBudgets["budgets"][number];
const dollars = (usd: number | null) => (usd === null ? "not known" : formatUsdNumber(usd));

export function Budgets(props: ViewProps) {
  const { filters, zone } = props;
  const loaded = useFiltered<ConsoleBudgets>("budgets", props);
  const [changed, setChanged] = useState<Budget | null>(null);
  const href = ({ tenant_id, window, time_zone }: Budget) => requestsHref(filters, { tenant_id, from: (windowKind(window) === "month" ? startOfMonth : startOfDay)(new Date(), time_zone).toISOString() });
  return (
    <div class="grid">
      <Panel title="Budgets and pacing" size="wide" loaded={loaded} note="Pace compares the share that is spent with the share of the window that has passed. λ is what pacing asks a dollar to buy: the higher, the cheaper the answers."
        emptyWords={({ budgets }) => (budgets.length > 0 ? null : <><p>No budgets are set.</p><p>Set one: <code>npx inferctl tenants set &lt;tenant&gt; --budget tenant.day=5</code>.</p></>)}>
        {({ budgets }) => (
          <div class="scroll" tabIndex={0} role="region" aria-label="Budgets, table">
            <table>
              <caption class="sr-only">Budgets</caption>
              <thead><tr><th scope="col">Of</th><th scope="col">Window</th><th scope="col" class="roomy">Kind</th><th scope="col" class="num">Limit</th><th scope="col" class="num">Spent</th><th scope="col" class="roomy num">Reserved</th><th scope="col" class="roomy num">Left</th><th scope="col">Pace</th><th scope="col" class="roomy num">λ per $</th><th scope="col" class="roomy">Begins anew</th><th scope="col"><span class="sr-only">Change</span></th></tr></thead>
              <tbody>
                {budgets.map((budget) => {
                  const pace = paceOf(budget);
                  return (
                    <tr key={`${budget.tenant_id} ${budget.scope} ${budget.owner ?? ""} ${budget.window}`}>
                      <th scope="row">{budget.tenant_id}{budget.scope !== "tenant" && `, ${budget.scope} ${budget.owner ?? "each"}`}</th>
                      <td class="time">{windowKind(budget.window)} {budget.window}</td><td class="roomy">{budget.kind}</td><td class="num">{dollars(budget.limit_usd)}</td>
                      <td class="num"><a href={href(budget)}>{dollars(budget.spent_usd)}</a></td><td class="roomy num">{dollars(budget.reserved_usd)}</td><td class="roomy num">{dollars(budget.left_usd)}</td>
                      <td class="pace">{pace.share !== null && <progress max={1} value={Math.min(1, pace.share)} aria-label={`Spent ${formatShare(pace.share)}`} />} <span class={pace.tone}>{pace.words}</span></td>
                      <td class="roomy num">{budget.lambda_per_usd === null ? "–" : budget.lambda_per_usd.toPrecision(3)}</td>
                      <td class="roomy time">{formatTime(budget.begins_anew_at, zone)}</td>
                      <td><button type="button" class="small" aria-label={`Change the budget of ${budget.tenant_id} for the ${windowKind(budget.window)}`} onClick={() => setChanged(budget)}>Change…</button></td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      {changed !== null && <ChangeBudget budget={changed} onClose={() => setChanged(null)} />}
    </div>
  );
}

function ChangeBudget({ budget, onClose }: { readonly budget: Budget; readonly onClose: () => void }) {
  const [usd, setUsd] = useState(String(budget.limit_usd));
  const whose = budget.scope === "tenant" ? `all requests of ${budget.tenant_id} together` : `each ${budget.scope} of ${budget.tenant_id}`;
  return (
    <Confirm title={`Change the budget of ${budget.tenant_id}`} action="Change the budget" isRisky={Number(usd) < budget.limit_usd} onClose={onClose} run={() => changeBudget(budget, Number(usd))}>
      <p>The {budget.kind} budget for the {windowKind(budget.window)}, of {whose}, is {formatUsdNumber(budget.limit_usd)} now. The new limit counts within 30 seconds, for the window that has begun.</p>
      {budget.kind === "hard" && <p>Requests that would go beyond it are answered by a cheaper tier, or refused.</p>}
      <label>New limit in $<input type="number" required min="0.000001" max="1000000" step="any" value={usd} onInput={({ currentTarget }) => setUsd(currentTarget.value)} /></label>
    </Confirm>
  );
}
