import type { ConsoleBudgets, ConsoleFlow, ConsoleFrontier, ConsoleLatency, ConsoleOverview, ConsoleRequestRow, ConsoleRequests, ConsoleSeries, ConsoleTiers } from "#shared/contracts/console.ts";
import type { ReportRow, Slo } from "#shared/contracts/report.ts";
import type { ComponentChildren } from "preact";

import { Chart } from "../charts/chart.tsx";
import { flowChart } from "../charts/flowChart.ts";
import { frontierChart } from "../charts/frontierChart.ts";
import { latencyChart } from "../charts/latencyChart.ts";
import { costChart, latencyOverTimeChart, outcomeChart } from "../charts/seriesCharts.ts";
import { tierMixChart } from "../charts/tierMixChart.ts";
import type { Loaded } from "../parts/api.ts";
import { type ViewProps, useFiltered } from "../parts/filtered.ts";
import { useLive } from "../parts/live.ts";
import { Panel } from "../parts/panel.tsx";
import { RequestTable } from "../parts/requestTable.tsx";
import { formatCount, formatMs, formatShare, plural } from "../pure/format.ts";
import { formatUsd, formatUsdNumber, formatUsdRange, shareOf } from "../pure/money.ts";
import { windowKind } from "../pure/pace.ts";
import { commonOf, type Filters, hrefOf, requestsHref } from "../pure/urlState.ts";
import { startOfDay, startOfMonth } from "../pure/zone.ts";

const NO_REQUESTS = <p>No requests in this time.</p>;
const FIRST_STEPS = (
  <>
    {NO_REQUESTS}
    <p>Choose a longer time or fewer filters above. On a new system send some: <code>npx inferctl demo</code>.</p>
  </>
);

export function Overview(props: ViewProps) {
  const { filters, zone, overview } = props;
  const to = (narrowed: Parameters<typeof requestsHref>[1] = {}) => requestsHref(filters, narrowed);
  const series = useFiltered<ConsoleSeries>("series", props);
  const latency = useFiltered<ConsoleLatency>("latency", props);
  const frame = (value: ConsoleSeries) => ({ series: value, zone, hrefOf: (from: string, until: string) => to({ from, to: until }) });
  const isEmpty = (value: ConsoleSeries) => (value.buckets.every(({ requests }) => requests === 0) ? NO_REQUESTS : null);
  return (
    <div class="grid">
      <Saved {...props} />
      <Now {...props} />
      <Panel title="In this time" size="twoThirds" loaded={overview} emptyWords={({ range }) => (range.requests === 0 ? FIRST_STEPS : null)}>{(value) => <Figures overview={value} to={to} />}</Panel>
      <Frontier {...props} />
      <Mix {...props} />
      <Panel title="Cost against the baseline" loaded={series} emptyWords={isEmpty} note={overview.value === null || overview.value.range.requests === 0 ? undefined : paidWords(overview.value.range)}>{(value) => <Chart title="Cost against the baseline" model={costChart(frame(value))} />}</Panel>
      <Panel title="Requests by outcome" loaded={series} emptyWords={isEmpty}>{(value) => <Chart title="Requests by outcome" model={outcomeChart(frame(value))} />}</Panel>
      <Latency loaded={latency} to={to} />
      <Panel title="Latency over time" loaded={series} emptyWords={isEmpty}>
        {(value) => <><Chart title="Latency over time" size="medium" model={latencyOverTimeChart(frame(value))} />{latency.value !== null && <LatencyByTier latency={latency.value} to={to} />}</>}
      </Panel>
      <LiveRequests {...props} />
    </div>
  );
}

function Saved({ filters, zone, overview }: ViewProps) {
  return (
    <Panel title="Money saved" size="twoThirds" loaded={overview}>
      {(value) => (
        <div class="heroes">
          <Hero when="today" row={value.today} baselineTiers={value.baseline_tiers} href={requestsHref(filters, { from: startOfDay(value.at, zone).toISOString() })} />
          <Hero when="this month" row={value.month} baselineTiers={value.baseline_tiers} href={requestsHref(filters, { from: startOfMonth(value.at, zone).toISOString() })} />
        </div>
      )}
    </Panel>
  );
}

interface HeroProps {
  readonly when: string;
  readonly row: ReportRow;
  readonly baselineTiers: readonly string[];
  readonly href: string;
}

function Hero({ when, row, baselineTiers, href }: HeroProps) {
  const saving = BigInt(row.net_saving_nano_usd);
  const share = shareOf(row.net_saving_nano_usd, row.baseline_nano_usd);
  return (
    <div class="hero">
      <h3>{saving < 0n ? "Lost" : "Saved"} {when}</h3>
      <p class={saving < 0n ? "amount bad" : "amount"}><a href={href}>{formatUsd(saving < 0n ? -saving : saving)}</a>{share !== null && saving >= 0n && <span class="of"> {formatShare(share)} of the baseline</span>}</p>
      <p>{row.net_saving_95 === null ? (row.requests === 0 ? "No requests yet" : "No interval with fewer than 30 requests") : `95 %: ${formatUsdRange(row.net_saving_95.lower, row.net_saving_95.upper)}`}{against(baselineTiers)}</p>
      <p class="note"><a href={href}>{plural(row.requests, "request")}</a>, {formatUsd(row.total_nano_usd)} paid, {formatUsd(row.baseline_nano_usd)} on the baseline</p>
    </div>
  );
}

const against = (baselineTiers: readonly string[]): string => (baselineTiers.length === 0 ? "" : `, against always asking ${baselineTiers.join(", then ")}`);

function Now({ filters }: ViewProps) {
  const asked = useFiltered<ConsoleTiers>("tiers", { filters: {}, zone: "UTC" });
  const live = useLive();
  const budgets = useFiltered<ConsoleBudgets>("budgets", { filters: commonOf(filters), zone: "UTC" });
  const loaded = live.tiers === null ? asked : { ...asked, value: live.tiers };
  const tight = [...(budgets.value?.budgets ?? [])].flatMap((budget) => (budget.spent_usd === null ? [] : [{ ...budget, spent: budget.spent_usd, share: budget.spent_usd / budget.limit_usd }])).sort((a, b) => b.share - a.share).slice(0, 3);
  const [tiersHref, budgetsHref] = (["tiers", "budgets"] as const).map((name) => hrefOf({ view: { name }, filters: commonOf(filters) }));
  return (
    <Panel title="Now" size="side" loaded={loaded}>
      {(value) => (
        <>
          <dl class="facts">
            <Fact term="Open requests"><a href={tiersHref}>{formatCount(value.open_requests)}</a></Fact>
            <Fact term="Dead letters"><a href={tiersHref} class={(value.dead_letters ?? 0) > 0 ? "bad" : undefined}>{formatCount(value.dead_letters)}</a></Fact>
            {value.tiers.map((tier) => (
              <Fact key={tier.tier} term={tier.tier}>
                <a href={tiersHref}><BreakerWords breaker={tier.breaker} /></a>, {tier.busy + tier.batch_busy} of {tier.slots} busy, {formatCount(tier.waiting)} waiting
              </Fact>
            ))}
            {tight.map((budget) => (
              <Fact key={`${budget.tenant_id} ${budget.scope} ${budget.owner ?? ""} ${budget.window}`} term={`${budget.owner ?? budget.tenant_id}, ${windowKind(budget.window)}`}>
                <a href={budgetsHref}>{formatShare(budget.share)}</a> of {formatUsdNumber(budget.limit_usd)} spent
              </Fact>
            ))}
          </dl>
          {budgets.value?.budgets.length === 0 && <p class="note">No budgets are set.</p>}
        </>
      )}
    </Panel>
  );
}

const BREAKER_WORDS = { closed: "breaker closed", open: "breaker open", half_open: "breaker half open" } as const;
const BREAKER_CLASS = { closed: "good", open: "bad", half_open: "warn" } as const;
export const BreakerWords = ({ breaker }: { readonly breaker: keyof typeof BREAKER_WORDS | null }) => (breaker === null ? <span class="bad">no worker</span> : <span class={BREAKER_CLASS[breaker]}>{BREAKER_WORDS[breaker]}</span>);

const Fact = ({ term, children }: { readonly term: string; readonly children: ComponentChildren }) => <div><dt>{term}</dt><dd>{children}</dd></div>;

function Figures({ overview, to }: { readonly overview: ConsoleOverview; readonly to: (narrowed?: Filters) => string }) {
  const { range, latency_ms: latency } = overview;
  const { completed, degraded, failed, rejected } = range.outcomes;
  const slower = (ms: number | null) => to(ms === null ? {} : slowerThan(ms));
  return (
    <dl class="figures">
      <Figure term="Requests" href={to()} value={formatCount(range.requests)} />
      <Figure term="Completed" href={to({ outcome: "completed" })} value={formatCount(completed)} more={formatShare(range.requests === 0 ? null : completed / range.requests)} />
      <Figure term="Degraded" href={to({ outcome: "degraded" })} value={formatCount(degraded)} />
      <Figure term="Failed" href={to({ outcome: "failed" })} value={formatCount(failed)} tone={failed > 0 ? "bad" : undefined} />
      <Figure term="Rejected" href={to({ outcome: "rejected" })} value={formatCount(rejected)} />
      <Figure term="Escalated" href={to({ escalated: "true" })} value={formatCount(overview.escalated)} more={formatShare(range.requests === 0 ? null : overview.escalated / range.requests)} />
      <Figure term="Net saving" href={to()} value={formatUsd(range.net_saving_nano_usd)} more={formatShare(shareOf(range.net_saving_nano_usd, range.baseline_nano_usd))} />
      <Figure term="Paid" href={to()} value={formatUsd(range.total_nano_usd)} />
      <Figure term="Median latency" href={slower(latency.p50)} value={formatMs(latency.p50)} />
      <Figure term="95 % within" href={slower(latency.p95)} value={formatMs(latency.p95)} />
      <Figure term="Agreement" href={to()} value={range.agreement === null ? "–" : formatShare(range.agreement.agreeing / Math.max(1, range.agreement.labels))} more={range.agreement === null ? "no shadow labels" : `${formatShare(range.agreement.lower)} to ${formatShare(range.agreement.upper)}`} />
      <Figure term="Kept answers" href={to()} value={formatCount(range.cached)} />
    </dl>
  );
}

interface FigureProps {
  readonly term: string;
  readonly href: string;
  readonly value: string;
  readonly more?: string;
  readonly tone?: "bad" | undefined;
}
const Figure = ({ term, href, value, more, tone }: FigureProps) => <div><dt>{term}</dt><dd><a href={href} class={tone}>{value}</a>{more !== undefined && <span class="of"> {more}</span>}</dd></div>;

function paidWords(row: ReportRow): string {
  const beside = ([["shadow runs", row.shadow_nano_usd], ["cache audits", row.cache_audit_nano_usd], ["late and duplicate runs", row.waste_nano_usd], ["exploration", row.exploration_nano_usd], ["verification", row.verification_nano_usd]] as const).filter(([, amount]) => amount !== "0");
  return beside.length === 0 ? "All that was paid is for answers." : `Paid includes ${beside.map(([what, amount]) => `${formatUsd(amount)} for ${what}`).join(", ")}.`;
}

function Frontier(props: ViewProps) {
  const { filters, overview } = props;
  const loaded = useFiltered<ConsoleFrontier>("frontier", props);
  return (
    <Panel title="Cost and quality" loaded={loaded} note={[qualityWords(loaded.value), policyWords(overview.value)].filter((words) => words !== undefined).join(" ")}
      emptyWords={({ points }) => (points.some(({ labels }) => labels > 0) ? null : <><p>No shadow labels and no feedback in this time, so quality is not known.</p><p>Labels come from asking the baseline tier again about a share of requests: set <code>INFER_SHADOW_SHARE</code>. Feedback comes from whoever got the answers: <code>POST /requests/:id/feedback</code>.</p></>)}>
      {(frontier) => <Chart title="Cost and quality" model={frontierChart({ frontier, tiers: overview.value?.tiers ?? [], hrefOf: ({ kind, label }) => requestsHref(filters, kind === "tier" ? { tier: label } : { policy: label }) })} />}
    </Panel>
  );
}

/** Where it is not by shadow labels. */
function qualityWords(frontier: ConsoleFrontier | null): string | undefined {
  if (frontier?.quality_by !== "feedback") return undefined;
  const judged = frontier.points.reduce((sum, { labels }) => sum + labels, 0);
  return `Quality is what those who got the answers said of ${formatCount(judged)} of them (feedback): there are no shadow labels in this time.`;
}

function policyWords(overview: ConsoleOverview | null): string | undefined {
  if (overview === null) return undefined;
  const model = overview.model_version === null ? "No routing model is active: the tier file's thresholds decide." : `Routing model ${overview.model_version} is active.`;
  if (overview.floor === null) return model;
  const { quality, steps } = overview.floor;
  const care = steps === 0 ? "is not in doubt" : steps === "all" ? "is in doubt: the thresholds of the tier file decide" : `is in doubt: routing is ${plural(steps, "level")} more careful`;
  return `${model} The floor of ${formatShare(quality)} of the baseline's quality ${care}.`;
}

function Mix(props: ViewProps) {
  const { filters, overview } = props;
  const flow = useFiltered<ConsoleFlow>("flow", props);
  const tiers = overview.value?.tiers ?? [];
  return (
    <Panel title="Tiers and escalation" loaded={flow} emptyWords={({ links }) => (links.length === 0 ? NO_REQUESTS : null)}>
      {(value) => (
        <>
          {overview.value !== null && <Chart title="Tier mix" size="strip" model={tierMixChart({ rows: overview.value.by_tier, tiers, hrefOf: (tier) => (tier === null ? requestsHref(filters) : requestsHref(filters, { tier })) })} />}
          <Chart title="Escalation flow" size="medium" model={flowChart({ flow: value, tiers, hrefOf: (narrowed) => requestsHref(filters, narrowed) })} />
        </>
      )}
    </Panel>
  );
}

interface LatencyProps {
  readonly loaded: Loaded<ConsoleLatency>;
  readonly to: (narrowed?: Filters) => string;
}

function Latency({ loaded, to }: LatencyProps) {
  const share = ({ on_time: { requests, within } }: ConsoleLatency) => formatShare(requests === 0 ? null : within / requests);
  return (
    <Panel title="Latency against SLO and deadline" loaded={loaded} emptyWords={({ rows }) => (rows.some(({ requests }) => requests > 0) ? null : NO_REQUESTS)}>
      {(value) => {
        const all = value.rows.find(({ tier }) => tier === null) ?? value.rows[0];
        return (
          <>
            {all !== undefined && <SloShare slo={all.slo} to={to} />}
            <p><strong class="figure">{share(value)}</strong> of <a href={to()}>{plural(value.on_time.requests, "request")}</a> ended before their deadline.</p>
            {all !== undefined && <Chart title="Latency of answered requests" model={latencyChart({ row: all, hrefOf: (ms) => to(slowerThan(ms)) })} />}
          </>
        );
      }}
    </Panel>
  );
}

function SloShare({ slo: { requests, within }, to }: { readonly slo: Slo } & Pick<LatencyProps, "to">) {
  if (requests === 0) return <p class="note">No request of this time named a latency SLO (<code>latency_slo_ms</code>).</p>;
  return (
    <p>
      <strong class="figure">{formatShare(within / requests)}</strong> of {plural(requests, "request")} with a latency SLO were <a href={to({ slo: "within" })}>answered within it</a>; <a href={to({ slo: "missed" })}>{formatCount(requests - within)} missed it</a>.
    </p>
  );
}

const slowerThan = (ms: number, tier: string | null = null): Filters => ({ min_latency_ms: String(Math.ceil(ms)), ...(tier === null ? {} : { tier }) });

function LatencyByTier({ latency: { rows }, to }: { readonly latency: ConsoleLatency } & Pick<LatencyProps, "to">) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Latency by tier">
      <table>
        <caption class="sr-only">Latency by tier</caption>
        <thead><tr><th scope="col">Tier</th><th scope="col" class="num">Answered</th><th scope="col" class="num">Median</th><th scope="col" class="num">95 %</th><th scope="col" class="num">99 %</th><th scope="col" class="num">Within SLO</th></tr></thead>
        <tbody>
          {rows.filter(({ requests }) => requests > 0).map((row) => (
            <tr key={row.tier ?? ""}>
              <th scope="row">{row.tier ?? "all"}</th>
              <td class="num"><a href={to(row.tier === null ? {} : { tier: row.tier })}>{formatCount(row.requests)}</a></td>
              {[row.p50_ms, row.p95_ms, row.p99_ms].map((ms, i) => <td key={i} class="num">{ms === null ? "–" : <a href={to(slowerThan(ms, row.tier))}>{formatMs(ms)}</a>}</td>)}
              <td class="num">{row.slo.requests === 0 ? "–" : <a href={to({ slo: "within", ...(row.tier === null ? {} : { tier: row.tier }) })}>{formatShare(row.slo.within / row.slo.requests)}</a>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const SHOWN_LIVE = 10;

/** What came by event, and before it what was there. */
function LiveRequests(props: ViewProps) {
  const { filters, zone } = props;
  const { requests, state } = useLive();
  const latest = useFiltered<ConsoleRequests>("requests", props, { limit: String(SHOWN_LIVE) });
  const isShown = ({ tenant_id, tier }: ConsoleRequestRow) => (filters.tenant_id === undefined || tenant_id === filters.tenant_id) && (filters.tier === undefined || tier === filters.tier);
  const rows = new Map([...requests.filter(isShown), ...(latest.value?.requests ?? [])].map((row) => [`${row.tenant_id}/${row.request_id}`, row]));
  const shown = [...rows.values()].sort((a, b) => Date.parse(b.accepted_at) - Date.parse(a.accepted_at)).slice(0, SHOWN_LIVE);
  return (
    <section class="card wide" aria-labelledby="live-requests">
      <h2 id="live-requests">Live requests</h2>
      {shown.length > 0 && <RequestTable caption="Live requests" rows={shown} filters={filters} zone={zone} />}
      {state.kind === "waiting" ? <p class="note">Not live now: new requests appear when the connection is back.</p> : shown.length === 0 && <p class="empty">Waiting for the first request to end.</p>}
      {shown.length > 0 && <p class="pages"><a href={requestsHref(filters)}>All requests of this time</a></p>}
    </section>
  );
}
