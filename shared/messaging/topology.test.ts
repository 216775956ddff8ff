import { describe, expect, it } from "vitest";

import { CacheAudit, CacheAuditJob } from "#shared/contracts/cacheAudit.ts";
import { Completion, Job, Result } from "#shared/contracts/events.ts";
import cacheAudit from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import cacheAuditJob from "#shared/contracts/fixtures/cache_audit_job.v1.json" with { type: "json" };
import completion from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import job from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import result from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import shadow from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import shadowJob from "#shared/contracts/fixtures/shadow_job.v1.json" with { type: "json" };
import shadowTier from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { Shadow, ShadowJob, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { ENVIRONMENT } from "#shared/runtime/environment.ts";

import { anyJob, batchWorkerSource, completionSubject, consumerOf, deadLetterSubject, feedbackSubject, idOf, replySubject, requestSubject, shadowSource, shadowSubject, shadowTierSubject, shadowWorkerSource, sourcesOf, stepSubjects, streamsOf, subjectOf, templateOf, workerSource } from "./topology.ts";

const ID = { tenant_id: "t1", request_id: "r-1" };

const BATCH_JOB = Job.parse({ ...job, request: { ...job.request, priority: "batch" } });

it.each([
  ["infer.job.large.t1.r-1.3", subjectOf("infer", Job.parse(job))],
  ["infer.result.t1.r-1.2", subjectOf("infer", Result.parse(result))],
  ["infer.completion.t1.r-1", subjectOf("infer", Completion.parse(completion))],
  ["infer.completion.t1.r-1", completionSubject("infer", ID)],
  ["infer.request.t1.r-1", requestSubject("infer", ID)],
  ["infer.shadowjob.large.t1.r-1", subjectOf("infer", ShadowJob.parse(shadowJob))],
  ["infer.shadow.t1.r-1", subjectOf("infer", Shadow.parse(shadow))],
  ["infer.shadow.t1.r-1", shadowSubject("infer", ID)],
  ["infer.shadow.t1.r-1.medium", subjectOf("infer", ShadowTierEvent.parse(shadowTier))],
  ["infer.shadow.t1.r-1.medium", shadowTierSubject("infer", ID, "medium")],
  ["infer.auditjob.large.t1.r-1", subjectOf("infer", CacheAuditJob.parse(cacheAuditJob))],
  ["infer.shadow.t1.r-1.large", subjectOf("infer", CacheAudit.parse(cacheAudit))],
  ["infer.feedback.t1.r-1", feedbackSubject("infer", ID)],
  ["infer.batchjob.large.t1.r-1.3", subjectOf("infer", BATCH_JOB)],
  ["infer.*.*.t1.r-1.2", anyJob("infer", ID, 2)],
  ["infer.reply.gateway-1.t1.r-1", replySubject("infer", "gateway-1", ID)],
  ["infer.deadletter.JOBS.t1", deadLetterSubject("infer", "JOBS", "t1")],
  ["infer.deadletter.REQUESTS.unknown", deadLetterSubject("infer", "REQUESTS", null)],
])("spells %s", (expected, subject) => {
  expect(subject).toBe(expected);
});

describe("idOf", () => {
  it.each(["infer.request.t1.r-1", "infer.feedback.t1.r-1", "infer.completion.t1.r-1", "infer.result.t1.r-1.2", "infer.reply.gateway-1.t1.r-1", "infer.job.small.t1.r-1.2", "infer.batchjob.small.t1.r-1.2", "infer.shadow.t1.r-1", "infer.shadow.t1.r-1.medium", "infer.shadowjob.large.t1.r-1", "infer.auditjob.large.t1.r-1"])("finds tenant and id in %s", (subject) => {
    expect(idOf("infer", subject)).toEqual(ID);
  });

  it.each([
    "infer.request.t1.*", "infer.request.*.r-1", "infer.request.t1.>", "infer.request.>", // stored literally: the client lets them pass
    "infer.request.t1", "infer.request.t1.r-1.x", "infer.request..r-1", "infer.request.t1.", "infer.request.", "infer.request", "infer.", "infer", "",
    "infer.request.t1.r 1", "infer.request.t1.ré", "infer.request.t1.r\0", "infer.request.t1.r-1\n", `infer.request.t1.${"x".repeat(65)}`,
    "other.request.t1.r-1", "inferx.request.t1.r-1", "xinfer.request.t1.r-1", "INFER.request.t1.r-1",
    "infer.job.small.t1.r-1", "infer.job.small.t1.r-1.2.x", "infer.batchjob.small.t1.r-1", "infer.batchjob.small.t1.r-1.2.x", "infer.job.t1.r-1.2", "infer.result.t1.r-1", "infer.result.t1.r-1.2.x", "infer.completion.t1.r-1.x", "infer.feedback.t1", "infer.feedback.t1.r-1.x", "infer.feedback.t1.>", "infer.shadow.t1", "infer.shadow.t1.r-1.x.y", "infer.shadowjob.t1.r-1", "infer.shadowjob.large.t1.r-1.2",
    "infer.reply.t1.r-1", "infer.reply.gateway-1.t1.r-1.x", "infer.deadletter.JOBS.t1", "infer.other.t1.r-1", "infer.constructor.t1.r-1", "infer.__proto__.t1.r-1", "infer.toString.t1.r-1",
    "$JS.API.STREAM.DELETE.REQUESTS",
  ])("finds none in %j", (subject) => {
    expect(idOf("infer", subject)).toBeNull();
  });

  it("finds what the subject of every event says", () => {
    for (const event of [Job.parse(job), BATCH_JOB, Result.parse(result), Completion.parse(completion), ShadowJob.parse(shadowJob), Shadow.parse(shadow), ShadowTierEvent.parse(shadowTier)]) expect(idOf("infer", subjectOf("infer", event))).toEqual(ID);
  });
});

describe("streams and consumers", () => {
  const streams = streamsOf("infer", 86_400_000);

  it("keep the first message of a subject wherever a second one would be a second effect", () => {
    const firstWins = streams.filter(({ max_msgs_per_subject, discard_new_per_subject }) => max_msgs_per_subject === 1 && discard_new_per_subject === true);
    expect(firstWins.map(({ name }) => name)).toEqual(["REQUESTS", "JOBS", "RESULTS", "COMPLETIONS", "SHADOW_JOBS", "SHADOWS"]);
  });

  it("are bounded and refuse, rather than drop, when they are full", () => {
    for (const { name, max_bytes, max_age, discard, deny_delete, deny_purge } of streams) {
      expect([name, max_bytes > 0, max_age > 0, discard, deny_delete, deny_purge]).toEqual([name, true, true, "new", true, true]);
    }
  });

  it("share the room that they are given", () => {
    for (const gib of [1, 12, 100]) {
      const sized = streamsOf("infer", 86_400_000, { gib });
      const sum = sized.reduce((total, { max_bytes }) => total + max_bytes, 0);
      expect(sum / 2 ** 30).toBeGreaterThan(0.98 * gib);
      expect(sum / 2 ** 30).toBeLessThan(1.07 * gib); // those of a fixed size are beside it
      for (const { max_bytes } of sized) expect(Number.isInteger(max_bytes)).toBe(true);
    }
  });

  it("keep a job until nobody can be at work on it any more, and hardly longer: it takes room from those that come", () => {
    const longestDeadlineMs = 1_800_000;
    expect(ENVIRONMENT.INFER_MAX_DEADLINE_MS.safeParse(longestDeadlineMs).success).toBe(true);
    expect(ENVIRONMENT.INFER_MAX_DEADLINE_MS.safeParse(longestDeadlineMs + 1).success).toBe(false);
    for (const name of ["JOBS", "RESULTS"]) {
      const ageMs = (streams.find((one) => one.name === name)?.max_age ?? 0) / 1e6;
      expect(ageMs).toBeGreaterThan(longestDeadlineMs + 5 * 60_000);
      expect(ageMs).toBeLessThanOrEqual(1.5 * longestDeadlineMs);
    }
  });

  it("let the sampling of completions begin with new ones, and forget it once their inputs are gone", () => {
    const requests = streams.find(({ name }) => name === "REQUESTS");
    expect(consumerOf(shadowSource("infer"))).toMatchObject({ deliver_policy: "new", inactive_threshold: requests?.max_age, ack_policy: "explicit" });
    for (const source of Object.values(sourcesOf("infer"))) expect(consumerOf(source)).not.toHaveProperty("inactive_threshold");
  });

  it("have one name and one subject space each", () => {
    expect(new Set(streams.map(({ name }) => name)).size).toBe(streams.length);
    const subjects = streams.flatMap((stream) => stream.subjects);
    expect(new Set(subjects).size).toBe(subjects.length);
  });

  it("have a lane for batch jobs beside each tier's own, in the same stream, so that an attempt is looked for in both at once", () => {
    const [small, own] = [batchWorkerSource("infer", { name: "small", slots: 2 }), batchWorkerSource("infer", { name: "large", slots: 8, batch_slots: 10 })];
    expect([small, own]).toMatchObject([{ stream: "JOBS", durable: "batch-worker-small", filter: "infer.batchjob.small.>", maxAckPending: 64 }, { maxAckPending: 160 }]);
    for (const event of [Job.parse(job), BATCH_JOB]) {
      expect(covers(anyJob("infer", event, event.attempt), subjectOf("infer", event))).toBe(true);
      expect(stepSubjects("infer", event).filter((subject) => covers(subject, subjectOf("infer", event)))).toHaveLength(1);
    }
  });

  it("have one durable per tier, with room for several processes", () => {
    const sources = [...Object.values(sourcesOf("infer")), shadowSource("infer"), shadowWorkerSource("infer", { name: "small" }), shadowWorkerSource("infer", { name: "large" }), batchWorkerSource("infer", { name: "small", slots: 2 }), batchWorkerSource("infer", { name: "large", slots: 100 }), workerSource("infer", { name: "small", slots: 2 }), workerSource("infer", { name: "large", slots: 100 })];
    expect(new Set(sources.map(({ durable }) => durable)).size).toBe(sources.length);
    expect(sources.slice(-2)).toMatchObject([{ durable: "worker-small", filter: expect.stringMatching(/^infer\.job\.small\./) as string, maxAckPending: 64 }, { durable: "worker-large", maxAckPending: 1_600 }]);
    for (const { filter, stream } of sources) expect(streams.find(({ name }) => name === stream)?.subjects.some((subject) => covers(subject, filter))).toBe(true);
  });
});

/** Whether what `filter` lets through can lie in a stream that takes `pattern`. */
function covers(pattern: string, filter: string): boolean {
  const [wide, narrow] = [pattern.split("."), filter.split(".")];
  return narrow.every((token, i) => token === ">" || token === "*" || wide[i] === ">" || wide[i] === "*" || token === wide[i]);
}

it.each([
  ["infer.request.t1.r-1", "infer.request.{tenant}.{request}"],
  ["infer.job.large.t1.r-1.3", "infer.job.{tier}.{tenant}.{request}.{attempt}"],
  ["infer.batchjob.large.t1.r-1.3", "infer.batchjob.{tier}.{tenant}.{request}.{attempt}"],
  ["infer.result.t1.r-1.3", "infer.result.{tenant}.{request}.{attempt}"],
  ["infer.completion.t1.r-1", "infer.completion.{tenant}.{request}"],
  ["infer.feedback.t1.r-1", "infer.feedback.{tenant}.{request}"],
  ["infer.shadowjob.large.t1.r-1", "infer.shadowjob.{tier}.{tenant}.{request}"],
  ["infer.auditjob.large.t1.r-1", "infer.auditjob.{tier}.{tenant}.{request}"],
  ["infer.shadow.t1.r-1", "infer.shadow.{tenant}.{request}"],
  ["infer.shadow.t1.r-1.large", "infer.shadow.{tenant}.{request}.{tier}"],
  ["infer.deadletter.JOBS.t1", "infer.deadletter.{stream}.{tenant}"],
  ["infer.unheard.of", "(other)"], ["infer.constructor.x", "(other)"], ["other.request.t1.r-1", "(other)"], ["infer", "(other)"],
])("spans name %s as %s", (subject, expected) => {
  expect(templateOf("infer", subject)).toBe(expected);
});
