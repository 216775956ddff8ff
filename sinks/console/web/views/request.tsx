import type { ConsoleRequest } from "#shared/contracts/console.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { Chart } from "../charts/chart.tsx";
import { timelineChart } from "../charts/timelineChart.ts";
import { useApi } from "../parts/api.ts";
import type { ViewProps } from "../parts/filtered.ts";
import { OutcomeBadge } from "../parts/outcomeBadge.tsx";
import { Panel, ProblemNote } from "../parts/panel.tsx";
import { candidatesOf, decisionWords, STOP_WORDS } from "../pure/candidates.ts";
import { formatConfidence, formatCount, formatMs, formatShare, formatTime } from "../pure/format.ts";
import { formatUsd } from "../pure/money.ts";
import { requestsHref } from "../pure/urlState.ts";
import { timelineOf } from "../pure/timeline.ts";

interface RequestProps extends ViewProps {
  readonly tenantId: string;
  readonly requestId: string;
}

const usd = (nanoUsd: number) => formatUsd(BigInt(nanoUsd));

export function Request({ tenantId, requestId, filters, zone, overview }: RequestProps) {
  const loaded = useApi<ConsoleRequest>(`/console/api/requests/${encodeURIComponent(tenantId)}/${encodeURIComponent(requestId)}`, () => new URLSearchParams(), "");
  const { value, problem } = loaded;
  const isThere = value !== null;
  const tiers = overview.value?.tiers ?? value?.completion.decisions[0]?.facts.quotes.map(({ tier }) => tier) ?? [];
  return (
    <>
      <p class="crumbs"><a href={requestsHref(filters)}>Requests</a> <span aria-hidden="true">/</span> {tenantId} <span aria-hidden="true">/</span> {requestId}</p>
      {!isThere && problem !== null && <section class="card wide"><h2>Request {requestId}</h2><ProblemNote problem={problem} /></section>}
      {!isThere && problem === null && <p class="loading">Loading…</p>}
      {isThere && (
        <div class="grid">
          <Panel title="Outcome" size="half" loaded={loaded}>{({ completion }) => <OutcomeOf completion={completion} zone={zone} />}</Panel>
          <Panel title="Timeline" size="half" loaded={loaded}>{({ completion }) => { const spans = timelineOf(completion); return <Chart title="Timeline" size="timeline" rows={spans.length} model={timelineChart({ spans, tiers })} />; }}</Panel>
          <Panel title="Attempts" size="wide" loaded={loaded} emptyWords={({ completion }) => (completion.attempts.length > 0 ? null : <p>Nothing ran for it.{completion.cache === undefined ? "" : " It was given an answer made for another request."}</p>)}>{({ completion }) => <Attempts attempts={completion.attempts} />}</Panel>
          <Panel title="Decisions" size="wide" loaded={loaded} emptyWords={({ completion }) => (completion.decisions.length > 0 ? null : <p>No decision was made for it.</p>)}>
            {({ completion }) => completion.decisions.map((decision, i) => <DecisionOf key={i} decision={decision} />)}
          </Panel>
          <Panel title="What was paid" size="half" loaded={loaded} emptyWords={({ lines }) => (lines.length > 0 ? null : <p>The books have no line for it.</p>)}>{({ lines }) => <Lines lines={lines} />}</Panel>
          <Panel title="How good it was" size="half" loaded={loaded} emptyWords={({ shadow, feedback }) => (shadow !== null || feedback.length > 0 ? null : <p>Nobody has said how good it was, and no other tier was asked afterwards.</p>)}>{(request) => <Quality request={request} zone={zone} />}</Panel>
        </div>
      )}
    </>
  );
}

function OutcomeOf({ completion, zone }: { readonly completion: Completion; readonly zone: string }) {
  const { outcome, degraded_reason, error, output, tier, model, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, policy, task, user_id, budget_nano_usd, accepted_at_ms, latency_ms, cache, trace_id } = completion;
  const saving = baseline_cost_nano_usd === null ? null : BigInt(baseline_cost_nano_usd) - BigInt(cost_nano_usd);
  return (
    <dl class="facts">
      <Fact term="Outcome"><OutcomeBadge outcome={outcome} />{degraded_reason !== null && ` ${STOP_WORDS[degraded_reason]}`}{error !== null && ` ${error.code}: ${error.message}`}</Fact>
      {output !== null && <Fact term="Answer"><span class="answer">{output.length > 400 ? `${output.slice(0, 400)}…` : output}</span></Fact>}
      {tier !== null && <Fact term="Answered by">{tier} ({model}){confidence !== null && `, confidence ${formatConfidence(confidence)} by ${confidence_source ?? "?"}`}</Fact>}
      {cache !== undefined && <Fact term="Kept answer">{cache.kind}, made for <a href={`/console/requests/${encodeURIComponent(completion.tenant_id)}/${encodeURIComponent(cache.source_request_id)}`}>{cache.source_request_id}</a> {formatMs(cache.age_ms)} before</Fact>}
      <Fact term="Cost">{usd(cost_nano_usd)}{budget_nano_usd !== null && ` of a budget of ${usd(budget_nano_usd)}`}</Fact>
      {baseline_cost_nano_usd !== null && saving !== null && <Fact term="Baseline">{usd(baseline_cost_nano_usd)} on {baseline_tier}: {saving < 0n ? `${formatUsd(-saving)} more was paid` : `${formatUsd(saving)} saved`}</Fact>}
      <Fact term="Accepted"><time dateTime={new Date(accepted_at_ms).toISOString()}>{formatTime(accepted_at_ms, zone)}</time>, took {formatMs(latency_ms)}</Fact>
      <Fact term="Policy">{policy ?? "–"}{task !== null && `, task ${task}`}</Fact>
      <Fact term="User">{user_id ?? "–"}</Fact>
      <Fact term="Trace id"><code>{trace_id}</code> <Copy text={trace_id} what="trace id" /></Fact>
    </dl>
  );
}

const Fact = ({ term, children }: { readonly term: string; readonly children: ComponentChildren }) => <div><dt>{term}</dt><dd>{children}</dd></div>;

function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const [state, setState] = useState<"idle" | "copied" | "refused">("idle");
  const copy = () => navigator.clipboard.writeText(text).then(() => setState("copied"), () => setState("refused"));
  return <button type="button" class="small" aria-label={`Copy ${what}`} onClick={() => void copy()}>{state === "copied" ? "Copied" : state === "refused" ? "Select and copy it by hand" : "Copy"}</button>;
}

function Attempts({ attempts }: { readonly attempts: readonly Attempt[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Attempts, table">
      <table>
        <caption class="sr-only">Attempts</caption>
        <thead><tr><th scope="col">Attempt</th><th scope="col">Tier</th><th scope="col" class="roomy">Model</th><th scope="col">What came of it</th><th scope="col" class="num">Confidence</th><th scope="col" class="roomy num">Tokens in / out</th><th scope="col" class="num">Cost</th><th scope="col" class="num">Latency</th><th scope="col" class="roomy num">Calls</th></tr></thead>
        <tbody>
          {attempts.map((attempt) => {
            const { outcome, usage } = attempt;
            return (
              <tr key={attempt.attempt}>
                <th scope="row">{attempt.attempt}</th><td>{attempt.tier}</td><td class="roomy">{attempt.model}{attempt.replica !== undefined && `, ${attempt.replica}`}</td>
                <td>{outcome.kind === "answered" ? (outcome.is_sound ? "answered" : "answered, not sound") : <span class="bad">{outcome.code}: {outcome.message}</span>}</td>
                <td class="num">{outcome.kind === "answered" ? formatConfidence(outcome.confidence) : "–"}</td>
                <td class="roomy num">{usage === null ? "–" : `${formatCount(usage.input_tokens)} / ${formatCount(usage.output_tokens)}`}</td>
                <td class="num">{usd(attempt.cost_nano_usd)}{attempt.cost_is_partial && " or more"}</td><td class="num">{formatMs(attempt.latency_ms)}</td><td class="roomy num">{attempt.tries}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function DecisionOf({ decision }: { readonly decision: Decision }) {
  const words = decisionWords(decision);
  const { learned } = decision;
  return (
    <section class="decision">
      <h3>{words}</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label={`${words}, candidates`}>
        <table>
          <caption class="sr-only">{words}: candidates</caption>
          <thead><tr><th scope="col">Candidate</th><th scope="col" class="num">Predicted quality</th><th scope="col" class="num">Expected cost</th><th scope="col" class="roomy num">At most</th><th scope="col" class="num">Expected latency</th><th scope="col" class="roomy num">On time</th><th scope="col" class="roomy">Breaker</th><th scope="col" class="roomy num">Queue</th><th scope="col" class="roomy">Why or why not</th></tr></thead>
          <tbody>
            {candidatesOf(decision).map(({ quote, isChosen, why }) => (
              <tr key={quote.tier} class={isChosen ? "chosen" : undefined}>
                <th scope="row">{quote.tier}<span class="tight why"><Why isChosen={isChosen} why={why} /></span></th>
                <td class="num">{formatShare(quote.quality)}</td><td class="num">{usd(quote.expected_cost_nano_usd)}</td><td class="roomy num">{usd(quote.max_cost_nano_usd)}</td><td class="num">{formatMs(quote.expected_latency_ms)}</td><td class="roomy num">{formatShare(quote.on_time)}</td>
                <td class="roomy">{quote.breaker.replace("_", " ")}</td><td class="roomy num">{formatCount(quote.queue_depth)}</td>
                <td class="roomy why"><Why isChosen={isChosen} why={why} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">Policy {decision.policy}{learned === undefined ? "" : `, routing model ${learned.model_version}${learned.lambda_per_usd === null ? "" : `, λ ${learned.lambda_per_usd.toPrecision(3)} per $`}`}.{decision.facts.budget_left === undefined ? "" : ` ${decision.facts.budget_left.refusal}.`}</p>
    </section>
  );
}

const Why = ({ isChosen, why }: { readonly isChosen: boolean; readonly why: string }) => (isChosen ? <><strong class="good">Chosen</strong>: {why}</> : <><strong>Not chosen</strong>: {why}</>);

function Lines({ lines }: Pick<ConsoleRequest, "lines">) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="What was paid, table">
      <table>
        <caption class="sr-only">What was paid</caption>
        <thead><tr><th scope="col">For</th><th scope="col">Tier</th><th scope="col">Charged to the tenant</th><th scope="col" class="num">Cost</th></tr></thead>
        <tbody>{lines.map((line, i) => <tr key={i}><th scope="row">{line.kind.replace("_", " ")} {line.part}</th><td>{line.tier}</td><td>{line.is_charged ? "yes" : "no"}</td><td class="num">{formatUsd(line.cost_nano_usd)}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

function Quality({ request: { shadow, feedback }, zone }: { readonly request: ConsoleRequest; readonly zone: string }) {
  return (
    <>
      {shadow !== null && (
        <>
          <p>Asked again on {shadow.reference_tier}: {shadow.agreement === null ? "no answer to compare" : `agreement ${formatShare(shadow.agreement)}`}.</p>
          {shadow.tiers.length > 0 && (
            <table>
              <caption class="sr-only">Tiers that were asked afterwards</caption>
              <thead><tr><th scope="col">Tier</th><th scope="col" class="num">Confidence</th><th scope="col" class="num">Agreement</th></tr></thead>
              <tbody>{shadow.tiers.map(({ tier, confidence, agreement_with_baseline }) => <tr key={tier}><th scope="row">{tier}</th><td class="num">{formatConfidence(confidence)}</td><td class="num">{formatShare(agreement_with_baseline)}</td></tr>)}</tbody>
            </table>
          )}
        </>
      )}
      {feedback.map(({ source, score, comment, at }) => <p key={`${source} ${at}`}>{source} gave {score.toFixed(2)} on {formatTime(at, zone)}{comment !== null && `: “${comment}”`}</p>)}
    </>
  );
}
