import { expect, it } from "vitest";

import type { Refusal } from "#shared/overload/shedding.ts";

import { makeLetIn } from "./letIn.ts";

const REFUSAL: Refusal = { reason: "wait", code: "overloaded", message: "m", retryAfterMs: 2_500 };
const body = (request_id?: string) => ({ ...(request_id === undefined ? {} : { request_id }), user_id: "u", input: "hi", budget: 1 });

function world({ refusal = null, isAccepted = false }: { refusal?: Refusal | null; isAccepted?: boolean } = {}) {
  const told: string[] = [];
  const letIn = makeLetIn({
    known: { work: () => null, letIn: (tenant, lane) => { told.push(`in ${tenant} ${lane}`); } },
    shedding: { refusalOf: () => refusal, refused: ({ tenantId, lane }) => { told.push(`out ${tenantId} ${lane}`); } },
    streams: { last: async (stream, subject) => { told.push(`look ${stream} ${subject}`); return isAccepted ? ({} as never) : null; } },
    prefix: "infer",
  });
  return { letIn: (bodies: Parameters<typeof letIn>[1]["bodies"]) => letIn({ tenant_id: "t1", request_id: "r1" }, { bodies, deadlineMs: 1_000 }), told };
}

it("counts each part of what it lets in", async () => {
  const { letIn, told } = world();
  await letIn([body(), { ...body(), priority: "batch" }]);
  expect(told).toEqual(["in t1 interactive", "in t1 interactive"]);
});

it("refuses with a time, and looks nowhere for an id of its own", async () => {
  const { letIn, told } = world({ refusal: REFUSAL });
  await expect(letIn([{ ...body(), priority: "batch" }])).rejects.toMatchObject({ code: "overloaded", retryAfterMs: 2_500, retryable: true });
  expect(told).toEqual(["out t1 batch"]);
});

it("lets in who asks again for what was accepted before, and nobody else", async () => {
  const known = world({ refusal: REFUSAL, isAccepted: true }), unknown = world({ refusal: REFUSAL });
  await known.letIn([body("r1")]);
  await expect(unknown.letIn([body("r1")])).rejects.toMatchObject({ code: "overloaded" });
  expect([known.told, unknown.told]).toEqual([["look REQUESTS infer.request.t1.r1"], ["look REQUESTS infer.request.t1.r1", "out t1 interactive"]]);
});
