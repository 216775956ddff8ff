import type { ConsoleRequests } from "#shared/contracts/console.ts";
import type { Outcome } from "#shared/contracts/events.ts";

import { useApi } from "../parts/api.ts";
import type { ViewProps } from "../parts/filtered.ts";
import { go } from "../parts/navigation.ts";
import { Panel } from "../parts/panel.tsx";
import { RequestTable } from "../parts/requestTable.tsx";
import { apiQuery, commonOf, type Filters, hrefOf } from "../pure/urlState.ts";

const OUTCOMES: readonly Outcome[] = ["completed", "degraded", "failed", "rejected"];

export function Requests({ filters, zone }: ViewProps) {
  const loaded = useApi<ConsoleRequests>("/console/api/requests", () => apiQuery(filters, zone, Date.now()), `${JSON.stringify(filters)} ${zone}`);
  const { before, ...first } = filters;
  const href = (narrowed: Filters) => hrefOf({ view: { name: "requests" }, filters: narrowed });
  const emptyWords = ({ requests }: ConsoleRequests) => (requests.length > 0 ? null : <><p>No request is like this.</p><p><a href={href(commonOf(filters))}>Take away the filters of this list</a>, or choose a longer time above.</p></>);
  return (
    <div class="grid">
      <Panel title="Requests" size="wide" loaded={loaded} emptyWords={emptyWords} note={before === undefined ? undefined : <a href={href(first)}>Back to the latest</a>}>
        {({ requests, next }) => (
          <>
            <RequestTable caption="Requests, the latest first" rows={requests} filters={filters} zone={zone} />
            <p class="pages">{next === null ? "These are all." : <a href={href({ ...filters, before: next })}>Older requests</a>}</p>
          </>
        )}
      </Panel>
    </div>
  );
}

/** Of this list alone, below the filters that all views have. */
export function ListFilters({ filters }: Pick<ViewProps, "filters">) {
  const change = (changes: { readonly [Name in keyof Filters]?: string }) => {
    const { before: _page, ...kept } = filters;
    const wanted = Object.fromEntries(Object.entries({ ...kept, ...changes }).filter(([, value]) => value !== "")) as Filters;
    go(hrefOf({ view: { name: "requests" }, filters: wanted }), { replace: true });
  };
  return (
    <form class="filters" role="search" aria-label="Filters of the list" onSubmit={(event) => event.preventDefault()}>
      <label>Outcome
        <select value={filters.outcome ?? ""} onChange={({ currentTarget }) => change({ outcome: currentTarget.value })}>
          <option value="">Any</option>
          {OUTCOMES.map((outcome) => <option key={outcome} value={outcome}>{outcome}</option>)}
        </select>
      </label>
      <label>Escalated
        <select value={filters.escalated ?? ""} onChange={({ currentTarget }) => change({ escalated: currentTarget.value })}>
          <option value="">Any</option>
          <option value="true">More than one attempt</option>
          <option value="false">One attempt at most</option>
        </select>
      </label>
      <label>Latency SLO
        <select value={filters.slo ?? ""} onChange={({ currentTarget }) => change({ slo: currentTarget.value })}>
          <option value="">Any, or none</option>
          <option value="within">Answered within it</option>
          <option value="missed">Missed</option>
        </select>
      </label>
      <label>Policy<input type="text" maxLength={64} value={filters.policy ?? ""} placeholder="any" onChange={({ currentTarget }) => change({ policy: currentTarget.value.trim() })} /></label>
      <label>Took at least (ms)<input type="text" inputMode="numeric" pattern="\d{1,9}" value={filters.min_latency_ms ?? ""} placeholder="any" onChange={({ currentTarget }) => { if (currentTarget.reportValidity()) change({ min_latency_ms: currentTarget.value }); }} /></label>
      <label>Request id<input type="text" maxLength={64} pattern="[A-Za-z0-9_\-]{1,64}" value={filters.request_id ?? ""} placeholder="any" onChange={({ currentTarget }) => { if (currentTarget.reportValidity()) change({ request_id: currentTarget.value.trim() }); }} /></label>
    </form>
  );
}
