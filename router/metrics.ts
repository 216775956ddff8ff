import { Counter, Gauge, type Registry } from "prom-client";

import type { Decision } from "#shared/contracts/decision.ts";

import type { OpenRequests } from "./openRequests.ts";

export function makeRouterMetrics(registry: Registry, fold: () => OpenRequests | null) {
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
  new Gauge({ name: "infer_requests_oldest_open_seconds", help: "Age of the oldest open request.", registers, collect() { this.set(ageSeconds(fold())); } });
  const gone = new Counter({ name: "infer_shadow_input_gone_total", help: "Sampled requests about which the baseline tier could not be asked: REQUESTS had forgotten the input.", registers });
  const explored = new Counter({ name: "infer_explored_total", help: "Requests that began with another tier than the routing model's choice, by that tier.", labelNames: ["tier"], registers });
  const exploredCost = new Counter({ name: "infer_explored_extra_cost_nano_usd_total", help: "Expected cost of those tiers beyond the model's choice, should a cheaper tier's answer not be kept.", registers });
  const models = new Gauge({ name: "infer_routing_model_info", help: "1 for the routing model that decides.", labelNames: ["version"], registers });
  const unusable = new Counter({ name: "infer_routing_model_problems_total", help: "Activated routing models that could not be used; the one before it stayed.", registers });
  return {
    observeModel({ version, isUsed }: { readonly version: string | null; readonly isUsed: boolean }): void {
      if (!isUsed) {
        unusable.inc();
        return;
      }
      models.reset();
      if (version !== null) models.set({ version }, 1);
    },
    observeGone: (): void => { gone.inc(); },
    observe({ policy, step, exploration }: Decision): void {
      decisions.inc({ policy, step: step.kind, choice: step.kind === "run" ? step.tier : step.reason });
      for (const [tier, limit] of Object.entries(step.excluded)) exclusions.inc({ tier, limit });
      if (step.kind !== "run" || exploration?.is_explored !== true) return;
      explored.inc({ tier: step.tier });
      exploredCost.inc(exploration.extra_cost_nano_usd);
    },
  };
}

function ageSeconds(fold: OpenRequests | null): number {
  const oldestMs = fold?.oldestMs() ?? null;
  return oldestMs === null ? 0 : Math.max(0, (Date.now() - oldestMs) / 1_000);
}
