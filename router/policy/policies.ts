import type { TierQuote } from "#shared/contracts/decision.ts";

import { bestFirstStep, cascadeRouting } from "./cascadeRouting.ts";
import { ALWAYS_ASKS, type Policy, type Preference, type Situation, type StaticRoutes } from "./policy.ts";
import { predictive } from "./predictive.ts";
import { keepFromCalibrated } from "./routingValues.ts";

/** Any sound answer is kept. */
const anyAnswer = () => 0;

/** The tier that the file names for the request's task; when it fails, the tiers above it. */
const staticRoute: Policy = ({ request, facts }, { static_routes }) => {
  const { task } = request;
  const name = (task !== null && Object.hasOwn(static_routes.tasks, task) ? static_routes.tasks[task] : undefined) ?? static_routes.default;
  const at = facts.quotes.findIndex((quote) => quote.tier === name);
  return { order: facts.quotes.slice(at), minConfidence: anyAnswer };
};

/** The cheapest tier that may be tried; when it fails, the next one. */
const cheapest: Policy = ({ facts }) => ({ order: byCost(facts.quotes), minConfidence: anyAnswer });

/**
 * From the cheapest tier upwards, until an answer reaches its tier's threshold: the learned one on calibrated confidence,
 * or the tier file's. A tier below the last one that
 * answered is worth trying only while there is no answer at all. The last tier's answer is always kept.
 */
const cascade: Policy = ({ saga, facts, learned }) => {
  const { quotes } = facts;
  const lastTried = Math.max(-1, ...saga.finished.map(({ tier }) => quotes.findIndex((quote) => quote.tier === tier)));
  const above = quotes.slice(lastTried + 1);
  const order = saga.best === null ? [...above, ...quotes.slice(0, lastTried + 1).reverse()] : above;
  const last = quotes.at(-1);
  const keep = learned?.keepFrom ?? null;
  const threshold = (quote: TierQuote) => (learned === undefined || keep === null ? quote.accept_confidence : keepFromCalibrated(learned, learned.model.tiers.indexOf(quote.tier), keep));
  return { order, minConfidence: (quote) => (quote === last ? 0 : threshold(quote)) };
};

/**
 * While the floor is in doubt: the baseline's answer, whatever its confidence. Where it cannot be had, the cascade by the
 * tier file's thresholds, which need nothing that was learned.
 */
const baselineFirst = (baseline: string): Policy => ({ request, saga, facts }, file) => {
  const { order, minConfidence } = cascade({ request, saga, facts }, file);
  const isBaseline = ({ tier }: TierQuote) => tier === baseline;
  return { order: [...order.filter(isBaseline), ...order.filter((quote) => !isBaseline(quote))], minConfidence: (quote) => (isBaseline(quote) ? 0 : minConfidence(quote)) };
};

/** Any tier that was not tried, none before another: `drawStep` takes one of those that the limits leave. The worker always asks, since whether to go on is drawn, too. */
const anyTier: Policy = ({ facts }) => ({ order: facts.quotes, minConfidence: () => ALWAYS_ASKS });

/** One tier and no other: the baseline. */
const always = (tier: string): Policy => ({ facts }) => ({ order: facts.quotes.filter((quote) => quote.tier === tier), minConfidence: anyAnswer });

/** `null` as long as nothing was learned: then the cascade by the tier file's thresholds is the safe choice. */
function learnedPolicy(name: "cascade-routing" | "predictive", { learned, predicted }: Situation): Policy | null {
  if (name === "predictive" && predicted !== undefined) return predictive(predicted);
  if (learned === undefined || learned.level === null) return null;
  if (learned.level === "in_doubt") return baselineFirst(learned.model.baseline_tier);
  const values = { ...learned, level: learned.level };
  return name === "predictive" ? bestFirstStep(values) : cascadeRouting(values);
}

/** What the request's policy prefers. Its name was checked when the request was read. */
export function preferenceOf(situation: Situation, file: StaticRoutes): Preference {
  const name = situation.request.policy;
  if (name === "static") return staticRoute(situation, file);
  if (name === "cheapest") return cheapest(situation, file);
  if (name === "cascade") return cascade(situation, file);
  if (name === "random") return anyTier(situation, file);
  if (name === "cascade-routing" || name === "predictive") return (learnedPolicy(name, situation) ?? cascade)(situation, file);
  return always(name.slice("always-".length))(situation, file);
}

const byCost = (quotes: readonly TierQuote[]) => quotes.toSorted((a, b) => a.expected_cost_nano_usd - b.expected_cost_nano_usd);
