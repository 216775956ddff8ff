import type { ConsoleOverview } from "#shared/contracts/console.ts";

import type { Filters, Last, View } from "../pure/urlState.ts";
import { hrefOf } from "../pure/urlState.ts";
import { instantOfLocal, localOf } from "../pure/zone.ts";
import { go } from "./navigation.ts";
import { browserZone } from "./zoneInUse.ts";

interface FilterBarProps {
  readonly view: View;
  readonly filters: Filters;
  readonly zone: string;
  /** For the choices. `null`: not known yet. */
  readonly overview: ConsoleOverview | null;
}

const LAST_WORDS: Readonly<Record<Last, string>> = { "1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days" };

export function FilterBar({ view, filters, zone, overview }: FilterBarProps) {
  const change = (changes: { readonly [Name in keyof Filters]?: Filters[Name] | undefined }) => {
    const { before: _page, ...kept } = filters;
    go(hrefOf({ view, filters: Object.fromEntries(Object.entries({ ...kept, ...changes }).filter(([, value]) => value !== undefined && value !== "")) }), { replace: true });
  };
  /** The others show what is now. */
  const hasTime = view.name === "overview" || view.name === "requests";
  const isOwnTime = filters.from !== undefined || filters.to !== undefined;
  const setTime = (choice: string) => {
    if (choice !== "own") return void change({ last: choice === "24h" ? undefined : (choice as Last), from: undefined, to: undefined });
    change({ last: undefined, from: overview?.from ?? new Date(Date.now() - 86_400_000).toISOString(), to: overview?.to ?? new Date().toISOString() });
  };
  const tenants = choices(overview?.tenants ?? [], filters.tenant_id);
  const tiers = choices(overview?.tiers ?? [], filters.tier);
  const at = (name: "from" | "to") => (filters[name] === undefined ? "" : localOf(filters[name], zone));
  const setMoment = (name: "from" | "to", local: string) => change({ [name]: instantOfLocal(local, zone)?.toISOString() });
  return (
    <form class="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      {hasTime && <label>Time
        <select value={isOwnTime ? "own" : (filters.last ?? "24h")} onChange={({ currentTarget }) => setTime(currentTarget.value)}>
          {Object.entries(LAST_WORDS).map(([value, words]) => <option key={value} value={value}>{words}</option>)}
          <option value="own">From … to …</option>
        </select>
      </label>}
      {hasTime && isOwnTime && (
        <>
          <label>From<input type="datetime-local" value={at("from")} onChange={({ currentTarget }) => setMoment("from", currentTarget.value)} /></label>
          <label>To<input type="datetime-local" value={at("to")} onChange={({ currentTarget }) => setMoment("to", currentTarget.value)} /></label>
        </>
      )}
      {view.name !== "tiers" && <label>Tenant
        <select value={filters.tenant_id ?? ""} onChange={({ currentTarget }) => change({ tenant_id: currentTarget.value })}>
          <option value="">All tenants</option>
          {tenants.map((tenant) => <option key={tenant} value={tenant}>{tenant}</option>)}
        </select>
      </label>}
      {hasTime && <label>Answered by
        <select value={filters.tier ?? ""} onChange={({ currentTarget }) => change({ tier: currentTarget.value })}>
          <option value="">Any tier</option>
          {tiers.map((tier) => <option key={tier} value={tier}>{tier}</option>)}
        </select>
      </label>}
      <label>Time zone
        <select value={zone} onChange={({ currentTarget }) => change({ tz: currentTarget.value === browserZone ? undefined : currentTarget.value })}>
          {choices(["UTC", browserZone], filters.tz).map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      </label>
    </form>
  );
}

/** With the one of the address, though nothing is known of it. */
const choices = (known: readonly string[], chosen: string | undefined): string[] => [...new Set([...known, ...(chosen === undefined ? [] : [chosen])])];
