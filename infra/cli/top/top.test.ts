import { EventEmitter } from "node:events";

import { afterEach, expect, test } from "vitest";

import { nanoUsd } from "#shared/contracts/money.ts";

import { paintFor, widthOf } from "../paint.ts";
import type { Terminal } from "../screen.ts";
import { runLive } from "./liveScreen.ts";
import { parsePrometheusText } from "./prometheusText.ts";
import { increases, maxOf, quantileOf, sumOf } from "./rates.ts";
import { topText } from "./topText.ts";
import { type Reading, topView } from "./topView.ts";

test("samples with their labels, as roles write them", () => {
  const text = '# HELP infer_a what\n# TYPE infer_a counter\ninfer_a{service="router",q="say \\"x\\", a\\\\b\\n"} 3\ninfer_a 1e-3 1700000000000\n\ninfer_b_bucket{le="+Inf",} +Inf\nother 7\n';
  expect([...parsePrometheusText(text, "infer_")]).toEqual([
    ["infer_a", [{ labels: { service: "router", q: 'say "x", a\\b\n' }, value: 3 }, { labels: {}, value: 0.001 }]], ["infer_b_bucket", [{ labels: { le: "+Inf" }, value: Infinity }]],
  ]);
});

test.each(["infer_a", "infer_a{x=1} 2", 'infer_a{x="1" 2', "infer_a two", 'infer_a{x="1"y="2"} 3', "<html>", "infer_a 1 2 3"])("what is no sample is refused with its line: %s", (line) => {
  expect(() => parsePrometheusText(`# fine\n${line}`)).toThrow(/^line 2 is no sample of a metric/);
});

const series = (name: string, values: Record<string, number>, label = "tier") => new Map([[name, Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }))]]);

test("a counter grows by its difference; one that began anew by what it counted since; a new one from 0", () => {
  const grown = increases(series("c", { small: 10, large: 10 }), series("c", { small: 15, large: 4, medium: 2 }), "c");
  expect(grown).toEqual([{ labels: { tier: "small" }, value: 5 }, { labels: { tier: "large" }, value: 4 }, { labels: { tier: "medium" }, value: 2 }]);
  expect([sumOf(grown), sumOf(grown, { tier: "large" }), maxOf(grown), maxOf([], {})]).toEqual([11, 4, 5, null]);
});

test.each([[0.5, 0.1], [0.25, 0.05], [0.75, 0.3], [1, 0.5]])("the %f quantile lies evenly within its bucket", (q, expected) => {
  const buckets = [["0.1", 10], ["0.5", 20], ["+Inf", 20]].map(([le, value]) => ({ labels: { le: String(le) }, value: Number(value) }));
  expect(quantileOf(buckets, q)).toBeCloseTo(expected);
});

test("a quantile of nothing is not known, and one beyond the highest bound is that bound", () => {
  expect(quantileOf([{ labels: { le: "+Inf" }, value: 0 }], 0.5)).toBeNull();
  expect(quantileOf([{ labels: { le: "1" }, value: 0 }, { labels: { le: "+Inf" }, value: 4 }], 0.5)).toBe(1);
});

const metrics = (completed: number, attempts: number) => parsePrometheusText([
  `infer_completions_total{outcome="completed",tier="small"} ${completed}`, 'infer_completions_total{outcome="failed",tier="none"} 1', `infer_attempts_total{tier="small",result="accepted"} ${attempts}`,
  `infer_attempt_duration_seconds_bucket{tier="small",le="0.01"} ${attempts}`, `infer_attempt_duration_seconds_bucket{tier="small",le="+Inf"} ${attempts}`,
  "infer_requests_open 4", "infer_requests_oldest_open_seconds 1.5", 'infer_sink_lag_seconds{stream="COMPLETIONS",consumer="sink-audit"} 2', 'infer_sink_pending_messages{stream="COMPLETIONS",consumer="sink-audit"} 7',
].join("\n"));
const worker = { tier: "small", instance: "w1", breaker: "open" as const, retry_in_ms: 1, slots: 4, busy: 3, batch_slots: 1, batch_busy: 1 };
const budget = { tenant_id: "acme", scope: "tenant" as const, owner: "acme", window: "2026-11", time_zone: "UTC", kind: "hard" as const, limit_usd: 10, spent_usd: 9, reserved_usd: 0.5, left_usd: 0.5, begins_anew_at: "2026-12-01T00:00:00.000Z" };
const reading = (atMs: number, samples: Reading["roles"][number]["samples"]): Reading => ({
  atMs, at: "2026-11-29T15:00:00.000Z", roles: [{ role: "metrics-sink", samples }, { role: "router", samples: null }], tiers: [worker, { ...worker, instance: "w2", breaker: "closed" }], tierNames: ["small", "gone"], waiting: new Map([["small", 5], ["gone", 2]]),
  latest: [{ tenant_id: "acme", request_id: "r1", outcome: "completed", tier: "small", latency_ms: 12, cost_nano_usd: nanoUsd(1_000), baseline_cost_nano_usd: nanoUsd(5_000), ended_at: "2026-11-29T14:59:59.000Z" }],
  money: { requests: 9, total_nano_usd: "1000000000", baseline_nano_usd: "4000000000", net_saving_nano_usd: "3000000000" }, budgets: [{ ...budget, tenant_id: "idle", left_usd: 10 }, budget, { ...budget, tenant_id: "unknown", left_usd: null }], problems: ["Redis cannot be reached: \u001b[2J"],
});
const view = topView(reading(0, metrics(10, 10)), reading(2_000, metrics(30, 30)));

test("rates are of the time between two readings", () => {
  expect(view.requests).toMatchObject({ per_s: 10, by_outcome: { completed: 10, degraded: 0, failed: 0, rejected: 0 }, open: 4, oldest_open_s: 1.5 });
  expect(view.tiers).toEqual([{ tier: "small", breaker: "closed", workers: 2, busy: 8, slots: 8, waiting: 5, attempts_per_s: 10, failures_per_s: 0, p50_ms: 5, p95_ms: 9.5 }, { tier: "gone", breaker: null, workers: 0, busy: 0, slots: 0, waiting: 2, attempts_per_s: 0, failures_per_s: 0, p50_ms: null, p95_ms: null }]);
  expect([view.roles, view.lags]).toEqual([{ answering: 1, all: 2, silent: ["router"] }, [{ consumer: "sink-audit", stream: "COMPLETIONS", lag_s: 2, messages: 7 }]]);
  expect(view.budgets?.map(({ tenant_id, used_share }) => [tenant_id, used_share])).toEqual([["acme", 0.95], ["idle", 0]]);
});

test("a role that did not answer before counts from the next reading on", () => {
  expect(topView(reading(0, null), reading(1_000, metrics(30, 30))).requests.per_s).toBe(0);
});

test.each([[60, 12], [80, 24], [120, 40]])("fits a terminal of %i by %i, with what could not be read at its end", (columns, rows) => {
  const lines = topText(view, { columns, rows, paint: paintFor({ hasColours: true }) });
  expect(lines.length).toBeLessThanOrEqual(rows);
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(columns);
  expect(lines.at(-1)).toContain("Redis cannot be reached:  [2J");
});

test("is for people to read", () => {
  const text = topText(view, { columns: 120, rows: Infinity, paint: paintFor({ hasColours: false }) }).join("\n");
  expect(text).toMatch(/1 of 2 roles answer, not router[^]*requests {2}10\.0\/s {2}completed 10\.0\/s[^]*open 4, the oldest for 1\.5 s[^]*paid 1\.0000 USD {2}saved 3\.0000 USD \(75\.0 %\)/);
  expect(text).toMatch(/^small +closed +2 +8 of 8 +5 +10\.0\/s +0 +5\.0 ms +9\.5 ms\ngone +- +0 +0 of 0 +2 /m);
  expect(text).toMatch(/^acme +tenant +2026-11 +95\.0 % +0\.500000[^]*sink-audit 7 messages, 2\.0 s[^]*^14:59:59 +acme\/r1 +completed +small +12 ms +0\.000001000 +0\.000004000$/m);
});

const own = new EventEmitter();
afterEach(() => { expect(own.eventNames()).toEqual([]); });
function fakeTerminal() {
  let [press, resize] = [(_key: string): void => undefined, (): void => undefined];
  const written: string[] = [];
  const terminal: Terminal = {
    rows: () => 10, write: (text) => void written.push(text),
    onKey: (listener) => { press = listener; return () => { press = () => undefined; written.push("<cooked>"); }; }, onResize: (listener) => { resize = listener; return () => { resize = () => undefined; }; },
  };
  return { terminal, written, press: (key: string) => { press(key); }, resize: () => { resize(); } };
}

test.each<[string, (given: ReturnType<typeof fakeTerminal>) => void, number]>([
  ["q", ({ press }) => { press("q"); }, 0], ["Ctrl-C as a key", ({ press }) => { press("\u0003"); }, 0], ["SIGTERM", () => { own.emit("SIGTERM"); }, 143], ["SIGHUP", () => { own.emit("SIGHUP"); }, 129],
])("%s leaves the live view, and the terminal as it was", async (_name, leave, code) => {
  const given = fakeTerminal();
  let refreshed = 0;
  const ended = runLive(given.terminal, { refresh: async () => { refreshed += 1; if (refreshed === 2) leave(given); }, lines: () => [`reading ${refreshed}`], everyMs: 1 }, own);
  expect(await ended).toBe(code);
  expect(given.written[0]).toBe("\u001b[?1049h\u001b[?25l");
  expect(given.written[1]).toBe("\u001b[Hreading 1\u001b[K\u001b[J");
  expect(given.written.slice(-2)).toEqual(["<cooked>", "\u001b[?25h\u001b[?1049l"]);
});

test("is drawn anew when the terminal changes its size, and left while a reading hangs", async () => {
  const given = fakeTerminal();
  let readings = 0;
  const ended = runLive(given.terminal, { refresh: () => { readings += 1; return readings === 1 ? Promise.resolve() : new Promise(() => undefined); }, lines: () => ["x"], everyMs: 1 }, own);
  await expect.poll(() => readings).toBe(2);
  const before = given.written.length;
  given.resize();
  expect(given.written.length).toBe(before + 1);
  given.press("q");
  expect(await ended).toBe(0);
});

test("an error ends it, and the terminal is as it was", async () => {
  const given = fakeTerminal();
  await expect(runLive(given.terminal, { refresh: () => Promise.resolve(), lines: () => { throw new Error("bug"); }, everyMs: 1 }, own)).rejects.toThrow("bug");
  expect(given.written.at(-1)).toBe("\u001b[?25h\u001b[?1049l");
});
