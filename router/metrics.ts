import { Counter, Gauge, type Registry } from "prom-client";

import type { Decision } from "#shared/contracts/decision.ts";
import { type FloorGuard, type FloorTest, LabelSource } from "#shared/contracts/floorGuard.ts";
import { toUsd } from "#shared/contracts/money.ts";

import type { Routing } from "./followModel.ts";
import { evidence, marginLowerBound } from "./learning/floorTest.ts";
import type { OpenRequests } from "./openRequests.ts";

export function makeRouterMetrics(registry: Registry, { fold, routing, now }: { readonly fold: () => OpenRequests | null; readonly routing: () => Routing; readonly now: () => number }) {
  const registers = [registry];
  const decisions = new Counter({ name: "infer_decisions_total", help: "Decisions by policy, kind and tier (run) or reason (stop).", labelNames: ["policy", "step", "choice"], registers });
  const exclusions = new Counter({ name: "infer_exclusions_total", help: "Tiers that a limit ruled out, by limit.", labelNames: ["tier", "limit"], registers });
  const counted = (name: string, help: string, count: (fold: OpenRequests) => number) =>
    new Counter({
      name, help, registers,
      collect() {
        const found = fold();
        this.reset();
        this.inc(found === null ? 0 : count(found));
      },
    });
  counted("infer_requests_accepted_total", "Accepted requests that this process has read from REQUESTS.", (found) => found.counts().accepted);
  counted("infer_requests_terminal_total", "Those of them whose terminal event it has seen: accepted = terminal + open.", (found) => found.counts().terminal);
  new Gauge({ name: "infer_requests_open", help: "Accepted requests without a terminal event.", registers, collect() { this.set(fold()?.counts().open ?? 0); } });
  new Gauge({ name: "infer_requests_oldest_open_seconds", help: "Age of the oldest open request.", registers, collect() { this.set(ageSeconds(fold(), now())); } });
  const gone = new Counter({ name: "infer_shadow_input_gone_total", help: "Sampled requests about which the baseline tier could not be asked: REQUESTS had forgotten the input.", registers });
  const lastResorts = new Counter({ name: "infer_last_resorts_total", help: "Tiers that were run although they miss a soft limit too, by limit: no tier met them all.", labelNames: ["tier", "limit"], registers });
  const explored = new Counter({ name: "infer_explored_total", help: "Requests that began with another tier than the routing model's choice, by that tier.", labelNames: ["tier"], registers });
  const exploredCost = new Counter({ name: "infer_explored_extra_cost_usd_total", help: "Expected cost of those tiers beyond the model's choice, should a cheaper tier's answer not be kept.", registers });
  const models = new Gauge({ name: "infer_routing_model_info", help: "1 for the routing model that decides.", labelNames: ["version"], registers });
  const unusable = new Counter({ name: "infer_routing_model_problems_total", help: "Activated routing models that could not be used; the one before it stayed.", registers });
  const snapshots = new Counter({ name: "infer_snapshots_total", help: "Results whose snapshot of the saga was looked at: signed, read from their jobs because they have no signature, or refused.", labelNames: ["how"], registers });
  for (const [name, { help, of }] of Object.entries(GUARD_GAUGES)) {
    new Gauge({
      name, help, registers,
      collect() {
        const { model, guard } = routing();
        this.set(model === null || guard === null ? 0 : of(guard));
      },
    });
  }
  for (const [name, { help, of }] of Object.entries(TEST_GAUGES)) {
    new Gauge({
      name, help, labelNames: ["source"], registers,
      collect() {
        const { model, guard } = routing();
        for (const source of LabelSource.options) {
          const test = guard?.tests[source];
          this.set({ source }, model === null || test === undefined ? 0 : of(test, model.risk));
        }
      },
    });
  }
  return {
    observeModel({ version, isUsed }: { readonly version: string | null; readonly isUsed: boolean }): void {
      if (!isUsed) {
        unusable.inc();
        return;
      }
      models.reset();
      if (version !== null) models.set({ version }, 1);
    },
    observeSnapshot: (how: "signed" | "by_job" | "refused"): void => { snapshots.inc({ how }); },
    observeGone: (): void => { gone.inc(); },
    observe({ policy, step, exploration }: Decision): void {
      decisions.inc({ policy, step: step.kind, choice: step.kind === "run" ? step.tier : step.reason });
      for (const [tier, limit] of Object.entries(step.excluded)) exclusions.inc({ tier, limit });
      if (step.kind === "run" && step.despite !== undefined) lastResorts.inc({ tier: step.tier, limit: step.despite });
      if (step.kind !== "run" || exploration?.is_explored !== true) return;
      explored.inc({ tier: step.tier });
      exploredCost.inc(toUsd(exploration.extra_cost_nano_usd));
    },
  };
}

/** From the stored guard, so that all routers show the same. 0 before the first label. */
const GUARD_GAUGES: Record<string, { readonly help: string; readonly of: (guard: FloorGuard) => number }> = {
  infer_floor_in_doubt: { help: "1 while no level of the routing model is trusted and the baseline answers alone.", of: ({ steps }) => (steps === "all" ? 1 : 0) },
  infer_floor_steps_tightened: { help: "Levels more careful than the routing model was activated with; +Inf for the baseline alone.", of: ({ steps }) => (steps === "all" ? Infinity : steps) },
};
/** By source of labels, `shadow` or `feedback`; 0 also for one that the model leaves untested. */
const TEST_GAUGES: Record<string, { readonly help: string; readonly of: (test: FloorTest, risk: number) => number }> = {
  infer_floor_evidence: { help: "E-value of a source's labels at the present steps against the floor. From 2 / risk on, of either source, the floor is in doubt.", of: ({ state }) => evidence(state) },
  infer_floor_margins: { help: "Labels of a source at the present steps.", of: ({ state }) => state.samples },
  infer_floor_mean_low: { help: "Lower bound of the mean label of a source at the present steps (shadow: agreement with the baseline; feedback: score), too high with probability risk at most.", of: ({ state, target }, risk) => marginLowerBound(state, risk) + target },
};

function ageSeconds(fold: OpenRequests | null, nowMs: number): number {
  const oldestMs = fold?.oldestMs() ?? null;
  return oldestMs === null ? 0 : Math.max(0, (nowMs - oldestMs) / 1_000);
}
