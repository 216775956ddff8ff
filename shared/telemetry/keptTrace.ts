/**
 * Traces that are told at the end. Whether a request failed, escalated or was slow is known with its outcome alone, and spans that were not made are not to be
 * had any more; but the terminal event has every decision and attempt with its times. So of such a request whose trace was not taken its spans are made from
 * that event, by one sink. They have the shape of a taken trace, as far as the event knows, and ids that follow from it: told twice they are the same. Pure.
 */
import type { Attributes } from "@opentelemetry/api";

import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import { completionSubject, requestSubject, resultSubject, subjectOfAttempt, templateOf } from "#shared/messaging/topology.ts";

import { attemptAttributes, costAttributes, idAttributes, jobAttributes, messageAttributes, outcomeAttributes, stepAttributes, usageAttributes, word } from "./attributes.ts";
import type { FinishedSpan, Kind } from "./spanExport.ts";
import { isSampled, isTraceId, newTraceparent, spanIdFrom, spanIdOf, traceparentOf } from "./traceparent.ts";

export type WhyKept = "error" | "escalation" | "slow";

/** `null`: there is nothing to tell of it, or no trace to tell it in: a collector refuses all spans of a batch for one. */
export function whyKept({ outcome, attempts, latency_ms, latency_slo_ms = Infinity, trace_id }: Completion, slowMs: number): WhyKept | null {
  if (!isTraceId(trace_id)) return null;
  if (outcome !== "completed") return "error"; // a degraded one is not what was asked for
  if (attempts.length > 1) return "escalation";
  return latency_ms > Math.min(slowMs, latency_slo_ms) ? "slow" : null;
}

/** Of whom a sink's span is a child: the publish of the event, as it was taken or as it is told. `traceparent`: the message's. */
export function parentAtEnd(completion: Completion, traceparent: string | null, slowMs: number): string | null {
  if (traceparent !== null && isSampled(traceparent)) return traceparent;
  return whyKept(completion, slowMs) === null ? (traceparent ?? newTraceparent()) : idsOf(completion)("send completion");
}

const idsOf = ({ trace_id, tenant_id, request_id, completed_at_ms }: Completion) => (what: string) => traceparentOf(trace_id, spanIdFrom(trace_id, tenant_id, request_id, String(completed_at_ms), what), true);

interface Told {
  readonly service: string;
  readonly kind: Kind;
  /** Epoch milliseconds. */
  readonly at: readonly [startedAtMs: number, endedAtMs: number];
  readonly attributes: Attributes;
}

/** From the caller's call to the publish of its outcome. `prefix`: of subjects. */
export function spansOf(completion: Completion, prefix: string, why: WhyKept): FinishedSpan[] {
  const { origin, accepted_at_ms, completed_at_ms, decisions, attempts, policy } = completion;
  const id = idsOf(completion), ofRequest = idAttributes(completion);
  const spans: FinishedSpan[] = [];
  /** Adds a span below another; gives it, for those below it. */
  const tell = (key: string, name: string, parent: FinishedSpan | null, { service, kind, at: [startedAtMs, endedAtMs], attributes }: Told): FinishedSpan => {
    const span = { name, kind, service, traceparent: id(key), parentSpanId: parent === null ? null : spanIdOf(parent.traceparent), startedAtMs, endedAtMs: Math.max(startedAtMs, endedAtMs), attributes };
    spans.push(span);
    return span;
  };
  const send = (what: string, subject: string, parent: FinishedSpan | null, service: string, atMs: number) =>
    tell(`send ${what}`, `send ${templateOf(prefix, subject)}`, parent, { service, kind: "PRODUCER", at: [atMs, atMs], attributes: messageAttributes("send", { subject, template: templateOf(prefix, subject) }, completion) });
  const process = (what: string, subject: string, parent: FinishedSpan | null, service: string, at: Told["at"], more: Attributes) =>
    tell(`process ${what}`, `process ${templateOf(prefix, subject)}`, parent, { service, kind: "CONSUMER", at, attributes: { ...messageAttributes("process", { subject, template: templateOf(prefix, subject) }, completion), ...more } });

  const whole = { ...ofRequest, ...outcomeAttributes(completion), "infer.trace.kept": why, ...(policy === null ? {} : { "infer.policy": policy }) };
  const isDirect = origin === DIRECT_ORIGIN;
  const root = isDirect ? null : tell("request", "request", null, { service: "infer-gateway", kind: "SERVER", at: [accepted_at_ms, completed_at_ms], attributes: whole });
  let sender = "infer-gateway"; // of what comes next
  let last = root;
  const isRouted = isDirect || decisions.length > 0;
  if (isRouted && !isDirect) last = send("request", requestSubject(prefix, completion), root, "infer-gateway", accepted_at_ms);
  if (isRouted && decisions.length === 0) {
    sender = "infer-router";
    last = process("request", requestSubject(prefix, completion), last, sender, [accepted_at_ms, completed_at_ms], whole);
  }
  for (const { after_attempt, step, facts: { at_ms } } of decisions) {
    const [what, subject] = after_attempt === 0 ? ["request", requestSubject(prefix, completion)] as const : [`result ${after_attempt}`, resultSubject(prefix, completion, after_attempt)] as const;
    if (after_attempt > 0) last = send(what, subject, last, "infer-worker", endOf(completion, after_attempt) ?? at_ms);
    sender = "infer-router";
    last = process(what, subject, last, sender, [at_ms, at_ms], { ...stepAttributes(step), ...(last === null ? whole : {}) });
    if (step.kind === "stop") continue;
    const place = after_attempt + 1;
    const job = subjectOfAttempt(prefix, step.tier, completion, place);
    last = send(`job ${place}`, job, last, sender, at_ms);
    const attempt = attempts.find((one) => one.attempt === place);
    if (attempt === undefined) continue; // closed meanwhile
    sender = "infer-worker";
    const at = [attempt.started_at_ms, endOf(completion, place) ?? attempt.started_at_ms] as const;
    last = process(`job ${place}`, job, last, sender, at, { ...jobAttributes(attempt), ...attemptAttributes(attempt) });
    if (attempt.tries > 0) tell(`call ${place}`, `chat ${word(attempt.model)}`, last, { service: sender, kind: "CLIENT", at, attributes: callOf(attempt) });
  }
  send("completion", completionSubject(prefix, completion), last, sender, completed_at_ms);
  return spans;
}

/** Of an attempt, in epoch milliseconds: none ends after its request. */
function endOf({ attempts, completed_at_ms }: Completion, place: number): number | undefined {
  const attempt = attempts.find((one) => one.attempt === place);
  return attempt === undefined ? undefined : Math.min(attempt.started_at_ms + attempt.latency_ms, completed_at_ms);
}

/** All tries of an attempt as one call: the event has them together. Its model is the one that answered, as it names itself. */
function callOf({ model, replica, usage, cost_nano_usd, first_token_ms, tries, outcome }: Attempt): Attributes {
  return {
    "gen_ai.operation.name": "chat", "gen_ai.response.model": word(model), "infer.tries": tries,
    ...(replica === undefined ? {} : { "infer.replica": replica }),
    ...(first_token_ms === undefined ? {} : { "gen_ai.response.time_to_first_chunk": first_token_ms / 1_000 }),
    ...(usage === null ? costAttributes(cost_nano_usd) : usageAttributes(usage, cost_nano_usd)),
    ...(outcome.kind === "failed" ? { "error.type": outcome.code } : {}),
  };
}
