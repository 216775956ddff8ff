import { expect, it } from "vitest";

import type { InferBody } from "#shared/contracts/request.ts";
import type { Refusal } from "#shared/overload/shedding.ts";

import { makeLetIn } from "./letIn.ts";

const REFUSAL: Refusal = { reason: "wait", code: "overloaded", message: "m", retryAfterMs: 2_500, leavesRoomForKept: true };
const body = (request_id?: string): InferBody => ({ ...(request_id === undefined ? {} : { request_id }), user_id: "u", input: "hi", budget: 1 });

function world({ refusal = null, accepted = null, isKept = false }: { refusal?: Refusal | null; isKept?: boolean; accepted?: "REQUESTS" | "COMPLETIONS" | null } = {}) {
  const told: string[] = [];
  const letIn = makeLetIn({
    known: { work: () => null, letIn: (tenant, lane) => { told.push(`in ${tenant} ${lane}`); } },
    shedding: { refusalOf: () => refusal, refused: ({ tenantId, lane }) => { told.push(`out ${tenantId} ${lane}`); } },
    streams: { last: async (stream, subject) => { told.push(`look ${stream} ${subject}`); return accepted === stream ? ({} as never) : null; } },
    prefix: "infer",
  });
  return { letIn: (bodies: readonly InferBody[]) => letIn({ tenant_id: "t1", request_id: "r1" }, bodies, 1_000, async () => { told.push("look for a kept answer"); return isKept; }), told };
}

it("counts each part of what it lets in", async () => {
  const { letIn, told } = world();
  await letIn([body(), { ...body(), priority: "batch" }]);
  expect(told).toEqual(["in t1 interactive", "in t1 interactive"]);
});

it("refuses with a time, and looks nowhere for an id of its own", async () => {
  const { letIn, told } = world({ refusal: REFUSAL });
  await expect(letIn([{ ...body(), priority: "batch" }])).rejects.toMatchObject({ code: "overloaded", retryAfterMs: 2_500, retryable: true });
  expect(told).toEqual(["look for a kept answer", "out t1 batch"]);
});

it.each(["COMPLETIONS", "REQUESTS"] as const)("lets in who asks again for what is in %s", async (accepted) => {
  const { letIn, told } = world({ refusal: REFUSAL, accepted });
  await letIn([body("r1")]);
  expect(told.at(-1)).toBe(`look ${accepted} infer.${accepted === "REQUESTS" ? "request" : "completion"}.t1.r1`);
});

it("lets in what has a kept answer, but not where that could not be stored or sent", async () => {
  const kept = world({ refusal: REFUSAL, isKept: true }), full = world({ refusal: { ...REFUSAL, leavesRoomForKept: false }, isKept: true });
  await kept.letIn([body()]);
  await expect(full.letIn([body()])).rejects.toMatchObject({ code: "overloaded" });
  expect([kept.told, full.told]).toEqual([["look for a kept answer"], ["out t1 interactive"]]);
});

it("looks for no more than 16 at once: the others are refused without", async () => {
  const { letIn, told } = world({ refusal: REFUSAL, accepted: "COMPLETIONS" });
  const ended = await Promise.allSettled(Array.from({ length: 20 }, () => letIn([body("r1")])));
  expect([ended.filter(({ status }) => status === "fulfilled").length, told.filter((one) => one.startsWith("out")).length]).toEqual([16, 4]);
  await letIn([body("r1")]);
});
