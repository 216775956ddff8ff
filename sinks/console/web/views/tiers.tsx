import type { ConsoleTiers } from "#shared/contracts/console.ts";

import { type ViewProps, useFiltered } from "../parts/filtered.ts";
import { useLive } from "../parts/live.ts";
import { Panel } from "../parts/panel.tsx";
import { formatClock, formatCount, formatMs } from "../pure/format.ts";
import { requestsHref } from "../pure/urlState.ts";
import { Letters, Models, ResetBreaker } from "./operations.tsx";
import { BreakerWords } from "./overview.tsx";

export function Tiers({ filters, zone }: ViewProps) {
  const asked = useFiltered<ConsoleTiers>("tiers", { filters: {}, zone: "UTC" });
  const { tiers: told } = useLive();
  const loaded = told === null ? asked : { ...asked, value: told };
  return (
    <div class="grid">
      <Panel title="Breakers and queues" size="wide" loaded={loaded} note={loaded.value === null ? undefined : `As workers said at ${formatClock(loaded.value.at, zone)}.`}>
        {({ tiers }) => (
          <div class="scroll" tabIndex={0} role="region" aria-label="Tiers, table">
            <table>
              <caption class="sr-only">Tiers, cheapest first</caption>
              <thead><tr><th scope="col">Tier</th><th scope="col">Model</th><th scope="col">Breaker</th><th scope="col" class="num">Workers</th><th scope="col" class="num">Busy</th><th scope="col" class="num">Calls at once</th><th scope="col" class="num">Batch busy</th><th scope="col" class="num">Waiting</th></tr></thead>
              <tbody>
                {tiers.map((tier) => (
                  <tr key={tier.tier}>
                    <th scope="row"><a href={requestsHref(filters, { tier: tier.tier })}>{tier.tier}</a>{tier.is_embedder && " (vectors)"}</th>
                    <td>{tier.model}</td>
                    <td><BreakerWords breaker={tier.breaker} />{tier.retry_in_ms > 0 && `, tries again in ${formatMs(tier.retry_in_ms)}`}{(tier.breaker === "open" || tier.breaker === "half_open") && <> <ResetBreaker tier={tier.tier} /></>}</td>
                    <td class="num">{formatCount(tier.workers)}</td><td class="num">{tier.busy} of {tier.slots}</td><td class="num">{formatCount(tier.limit)}</td><td class="num">{tier.batch_busy} of {tier.batch_slots}</td><td class="num">{formatCount(tier.waiting)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      <Models zone={zone} />
      <Letters zone={zone} />
    </div>
  );
}
