import { type Dashboard, orZero, query, rate } from "./dashboard.ts";

export const routing: Dashboard = {
  uid: "infer-routing", title: "Inference: routing and quality", description: "What is decided and why, how sure answers are, and whether the quality floor holds.",
  rows: [
    { title: "Decisions", panels: [
      { title: "Decisions by tier or reason", unit: "ops", as: "stacked", description: "run: the tier that is tried next. stop: why nothing more is (good_enough, budget, deadline, …). A request has one or more.", queries: [query(`sum by (step, choice) (${rate("infer_decisions_total")})`, "{{step}} {{choice}}")] },
      { title: "Decisions by policy", unit: "ops", as: "stacked", description: "Which policy decides: the tier file's default, or what requests name.", queries: [query(`sum by (policy) (${rate("infer_decisions_total")})`, "{{policy}}")] },
      { title: "Tiers ruled out, by limit", unit: "ops", description: "breaker_open and no_worker are outages; too_late and beyond_slo are about time; over_budget about money; tried is none.", queries: [query(orZero(`sum by (limit) (${rate("infer_exclusions_total")})`), "{{limit}}")] },
      { title: "Escalations", unit: "reqps", description: "Attempts after the first, by the tier that was left and the one that was tried. Each is paid for twice.", queries: [query(orZero(`sum by (from, to) (${rate("infer_escalations_total")})`), "{{from}} to {{to}}")] },
      { title: "Escalations for each request", unit: "percentunit", description: "Attempts after the first, over requests that ended. What is normal depends on the levels that were trained; a rise means that cheap answers are less sure.", queries: [query(`(sum(${rate("infer_escalations_total")}) or vector(0)) / (sum(${rate("infer_completions_total")}) > 0)`, "escalations")] },
      { title: "Soft limits that gave way", unit: "ops", description: "Tiers that were run although they miss a soft limit, since no tier met them all.", queries: [query(orZero(`sum by (tier, limit) (${rate("infer_last_resorts_total")})`), "{{tier}} {{limit}}")] },
      { title: "Explored", unit: "reqps", description: "Requests that began with another tier than the model's choice, so that estimates are corrected (INFER_EXPLORE_SHARE).", queries: [query(orZero(`sum by (tier) (${rate("infer_explored_total")})`), "{{tier}}")] },
      { title: "Routers by model", unit: "short", description: "How many routers decide with each routing model. 0 without a name: none is active, and the tier file's thresholds decide.", queries: [query(orZero("count by (version) (infer_routing_model_info == 1)"), "{{version}}")] },
      { title: "Models that cannot be used", unit: "short", description: "Activated models that did not fit; the one before stayed. The router's log says why.", queries: [query("sum(increase(infer_routing_model_problems_total[1h]))", "in an hour")] },
    ] },
    { title: "Confidence", panels: [
      { title: "Mean confidence", unit: "percentunit", description: "Raw confidence of answers, by tier. A tier whose mean moves answers other work than before, or is another model.", queries: [query(`sum by (tier) (${rate("infer_attempt_confidence_sum")}) / sum by (tier) (${rate("infer_attempt_confidence_count")})`, "{{tier}}")] },
      { title: "Answers of low confidence", unit: "percentunit", description: "Share of answers with a raw confidence of 0.9 or less, by tier.", queries: [query(`sum by (tier) (${rate('infer_attempt_confidence_bucket{le="0.9"}')}) / sum by (tier) (${rate("infer_attempt_confidence_count")})`, "{{tier}}")] },
      { title: "Calibration error of a day", unit: "percentunit", description: "By how much raw confidence differs from how often answers agree with the baseline's, over tenths of confidence. The routing model corrects what it was trained on; a rise means to train again. From shadow labels.", mayBeEmpty: "only where shadow labels are on (INFER_SHADOW_SHARE) and an answer of another tier than the baseline was compared", queries: [query("infer:calibration_error:increase1d", "{{tier}}")] },
    ] },
    { title: "Quality floor", panels: [
      { title: "In doubt", as: "figure", unit: "short", description: "1: the baseline answers alone (alert FloorInDoubt).", queries: [query("max(infer_floor_in_doubt)", "in doubt")] },
      { title: "Steps tightened", as: "figure", unit: "short", description: "How many levels more careful than the model was activated with (alert FloorTightened).", queries: [query("max(infer_floor_steps_tightened)", "steps")] },
      { title: "Evidence against the floor", unit: "short", description: "E-value of each source's labels. From 2 / risk on (40 at 5 %) the floor is in doubt. 0: nothing is tested.", queries: [query("max by (source) (infer_floor_evidence)", "{{source}}")] },
      { title: "What labels show at least", unit: "percentunit", description: "Lower bound of the mean label (shadow: agreement with the baseline; feedback: score). The floor holds while it is above the target that `inferctl models show` names.", queries: [query("max by (source) (infer_floor_mean_low)", "{{source}}")] },
      { title: "Labels at the present steps", unit: "short", description: "How many labels the test has. None for days: shadow labels are off, or no model is watched.", queries: [query("max by (source) (infer_floor_margins)", "{{source}}")] },
      { title: "Shadow labels", unit: "ops", description: "Sampled requests by what came of asking the baseline: own (it had answered itself), compared, unsound, failed.", queries: [query(orZero(`sum by (outcome) (${rate("infer_shadow_total")})`), "{{outcome}}")] },
      { title: "Feedback", unit: "ops", description: "Feedback that was recorded, by source.", queries: [query(orZero(`sum by (source) (${rate("infer_feedback_total")})`), "{{source}}")] },
      { title: "Audits of the semantic cache", unit: "ops", description: "Hits that were run afterwards: different is a false hit. Caches that showed too many are switched off.", queries: [query(orZero(`sum by (result) (${rate("infer_cache_audits_total")})`), "{{result}}"), query(`sum(${rate("infer_cache_semantic_stops_total")})`, "caches switched off")] },
    ] },
  ],
};
