/** The view as lines of a terminal, no longer and no more than it has room for. Pure. */
import { cut, type Paint, printable, type Style, widthOf } from "../paint.ts";
import { callUsdText, usdText } from "../reportText.ts";
import { fittingTable } from "../textTable.ts";
import type { TopView } from "./topView.ts";

export interface Room {
  readonly columns: number;
  /** Lines; `Infinity` off a terminal. */
  readonly rows: number;
  readonly paint: Paint;
}

export function topText(view: TopView, { columns, rows, paint }: Room): string[] {
  const table = (head: readonly string[], cells: readonly (readonly string[])[], dropped: readonly string[] = []): string[] => {
    const [first = "", ...others] = fittingTable(head, cells, { columns, dropped }).split("\n");
    return [paint("dim", first), ...others];
  };
  const above = [...headLines(view, { columns, paint }), "", ...tierLines(view, table, paint)];
  const below = [...budgetLines(view, table, paint), ...lagLines(view, paint), ...latestLines(view, table, paint)];
  const problems = view.problems.map((one) => paint("yellow", printable(one)));
  const all = [...above, ...below];
  const room = Math.max(1, rows - problems.length);
  return [...all.slice(0, room), ...problems].slice(0, rows).map((line) => cut(line, columns));
}

const rate = (perS: number): string => `${perS >= 100 ? perS.toFixed(0) : perS.toFixed(1)}/s`;
const ms = (value: number | null): string => (value === null ? "-" : value >= 10_000 ? `${(value / 1_000).toFixed(1)} s` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`);
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function headLines({ at, roles, requests, today, window_s }: TopView, { columns, paint }: Pick<Room, "columns" | "paint">): string[] {
  const { answering, all, silent } = roles;
  const left = `${paint("bold", "inferctl top")}  ${at.slice(11, 19)} UTC  ${paint(answering === all && all > 0 ? "green" : "red", `${answering} of ${all} roles answer`)}${silent.length === 0 ? "" : `, not ${silent.join(", ")}`}`;
  const right = `rates of ${window_s.toFixed(0)} s`;
  const gap = columns - widthOf(left) - right.length;
  const outcomes = Object.entries(requests.by_outcome).map(([outcome, perS]) => (perS > 0 ? paint(outcome === "completed" ? "green" : outcome === "degraded" ? "yellow" : "red", `${outcome} ${rate(perS)}`) : `${outcome} 0`));
  return [
    gap > 1 ? `${left}${" ".repeat(gap)}${paint("dim", right)}` : left,
    `requests  ${paint("bold", rate(requests.per_s))}  ${outcomes.join("  ")}  escalations ${rate(requests.escalations_per_s)}`,
    `latency   p50 ${ms(requests.p50_ms)}  p95 ${ms(requests.p95_ms)}  open ${requests.open ?? "?"}${requests.oldest_open_s === null || requests.open === 0 ? "" : `, the oldest for ${requests.oldest_open_s.toFixed(1)} s`}`,
    `today     ${moneyLine(today, paint)}`,
  ];
}

function moneyLine(today: TopView["today"], paint: Paint): string {
  if (today === null) return "? (the books cannot be read)";
  const isLoss = today.net_saving_nano_usd.startsWith("-");
  const share = today.baseline_nano_usd === "0" ? "" : ` (${percent(Number(today.net_saving_nano_usd) / Number(today.baseline_nano_usd))})`;
  return `${today.requests} requests  paid ${usdText(today.total_nano_usd)} USD  ${isLoss ? paint("red", `lost ${usdText(today.net_saving_nano_usd.slice(1))} USD${share}`) : paint("green", `saved ${usdText(today.net_saving_nano_usd)} USD${share}`)} against the baseline's ${usdText(today.baseline_nano_usd)}`;
}

type Table = (head: readonly string[], cells: readonly (readonly string[])[], dropped?: readonly string[]) => string[];
const BREAKERS: Readonly<Record<string, Style>> = { closed: "green", half_open: "yellow", open: "red" };

function tierLines({ tiers }: TopView, table: Table, paint: Paint): string[] {
  if (tiers === null) return ["tiers     ? (NATS cannot be read)", ""];
  if (tiers.length === 0) return ["tiers     none has a live worker", ""];
  return [...table(["TIER", "BREAKER", "WORKERS", "BUSY", "WAITING", "ATTEMPTS", "FAILURES", "P50", "P95"], tiers.map((one) => [
    one.tier, one.breaker === null ? "-" : paint(BREAKERS[one.breaker] ?? "red", one.breaker), one.workers === 0 ? paint("red", "0") : String(one.workers), `${one.busy} of ${one.slots}`, one.waiting === null ? "?" : String(one.waiting), rate(one.attempts_per_s),
    one.failures_per_s > 0 ? paint("red", rate(one.failures_per_s)) : "0", ms(one.p50_ms), ms(one.p95_ms),
  ]), ["P50", "FAILURES"]), ""];
}

const usd = (amount: number): string => amount.toFixed(Math.abs(amount) < 1 ? 6 : 2);
const NEARLY_SPENT = 0.8;
function budgetLines({ budgets }: TopView, table: Table, paint: Paint): string[] {
  if (budgets === null || budgets.length === 0) return [];
  return [...table(["BUDGET", "OF", "WINDOW", "USED", "LEFT USD", "LIMIT USD", "KIND"], budgets.map(({ tenant_id, scope, owner, window, used_share, left_usd, limit_usd, kind }) => [
    tenant_id, scope === "tenant" ? scope : `${scope} ${printable(owner ?? "")}`, window, used_share >= NEARLY_SPENT ? paint(used_share >= 1 ? "red" : "yellow", percent(used_share)) : percent(used_share), usd(left_usd ?? 0), usd(limit_usd), kind,
  ]), ["KIND", "LIMIT USD"]), ""];
}

function lagLines({ lags }: TopView, paint: Paint): string[] {
  const behind = lags.filter(({ messages }) => messages > 0).map(({ consumer, lag_s, messages }) => paint(lag_s > 60 ? "red" : "yellow", `${consumer} ${messages} messages, ${lag_s.toFixed(1)} s`));
  return lags.length === 0 ? [] : [`lags      ${behind.length === 0 ? "no sink is behind" : behind.join("  ")}`, ""];
}

const OUTCOMES: Readonly<Record<string, Style>> = { completed: "green", degraded: "yellow", failed: "red", rejected: "red" };
function latestLines({ latest }: TopView, table: Table, paint: Paint): string[] {
  if (latest === null || latest.length === 0) return [];
  return table(["ENDED", "REQUEST", "OUTCOME", "TIER", "LATENCY", "USD", "SAVED USD"], latest.map((one) => [
    one.ended_at.slice(11, 19), `${one.tenant_id}/${one.request_id}`, paint(OUTCOMES[one.outcome] ?? "red", one.outcome), one.tier ?? "-", ms(one.latency_ms), callUsdText(one.cost_nano_usd),
    one.baseline_cost_nano_usd === null ? "-" : callUsdText(one.baseline_cost_nano_usd - one.cost_nano_usd),
  ]), ["SAVED USD", "USD", "ENDED"]);
}
