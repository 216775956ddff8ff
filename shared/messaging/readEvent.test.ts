import { expect, it } from "vitest";
import type { z } from "zod";

import { Completion, Job, Result, type SagaMessage } from "#shared/contracts/events.ts";
import completion from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import job from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import result from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import { ShadowEvent } from "#shared/contracts/shadow.ts";

import { NewerVersion } from "./newerVersion.ts";
import { readEvent } from "./readEvent.ts";

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

it.each([
  ["infer.job.large.t1.r-1.3", Job, job],
  ["infer.result.t1.r-1.2", Result, result],
  ["infer.completion.t1.r-1", Completion, completion],
] as const)("reads %s", (subject, schema, body) => {
  expect(readEvent(schema as z.ZodType<SagaMessage>, "infer", { subject, data: bytes(body) })).toEqual(body);
});

it.each([
  ["another tier", "infer.job.small.t1.r-1.3"], ["another tenant", "infer.job.large.t2.r-1.3"], ["another request", "infer.job.large.t1.r-2.3"],
  ["another attempt", "infer.job.large.t1.r-1.2"], ["another prefix", "other.job.large.t1.r-1.3"], ["another kind", "infer.result.t1.r-1.3"],
])("refuses a body under the subject of %s, for good", (_name, subject) => {
  expect(() => readEvent(Job, "infer", { subject, data: bytes(job) })).toThrow(expect.objectContaining({ code: "invalid_request", message: "body and subject differ" }) as Error);
});

it.each([["not json", "{"], ["another type", result], ["no saga", { ...job, saga: undefined }], ["an attempt of zero", { ...job, attempt: 0 }]])("refuses %s, for good", (_name, body) => {
  expect(() => readEvent(Job, "infer", { subject: "infer.job.large.t1.r-1.3", data: bytes(body) })).toThrow(expect.objectContaining({ isOutage: false, retryable: false }) as Error);
});

it.each([
  ["a job of a later release", Job, { ...job, type: "job.v2", saga: "of another shape" }],
  ["one of a much later release", Job, { ...job, type: "job.v10" }],
  ["one of several kinds", ShadowEvent, { type: "shadow.v2" }],
])("leaves %s to a process of that release", (_name, schema, body) => {
  expect(() => readEvent(schema as z.ZodType<SagaMessage>, "infer", { subject: "infer.job.large.t1.r-1.3", data: bytes(body) })).toThrow(NewerVersion);
});

it.each(["job.v0", "job.v1x", "result.v2", "job.v", "", 2])("takes %s for no later job", (type) => {
  expect(() => readEvent(Job, "infer", { subject: "infer.job.large.t1.r-1.3", data: bytes({ ...job, type }) })).toThrow(expect.objectContaining({ code: "invalid_request" }) as Error);
});
