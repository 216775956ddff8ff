import { expect, test } from "vitest";

import { nanoUsd } from "#shared/contracts/money.ts";

import { costByTokens, makeBill, type StartedCall } from "./bill.ts";

const call = (model: string, row_id = "row-1"): StartedCall => ({ row_id, model, request_id: null, traceparent: null, fault: null });

test.each([
  ["all of it, to the nano-dollar", 0.0000133, 132, 1, 1, 13_300],
  ["nothing of the answer: the prompt's share", 0.00012, 10, 0, 50, 20_000],
  ["half of the answer", 0.00012, 10, 25, 50, 70_000],
  ["rounded once", 0.0000000016, 0, 1, 1, 2],
  ["no tokens at all", 0.001, 0, 0, 0, 1_000_000],
])("%s", (_what, costUsd, promptTokens, tokens, ofTokens, cost) => { expect(costByTokens(costUsd, promptTokens, tokens, ofTokens)).toBe(cost); });

test("sums by model and in total what ended, and counts what runs", () => {
  const bill = makeBill(() => 5);
  const endBig = bill.start(call("big"));
  bill.start(call("small"))({ state: "aborted", prompt_tokens: 3, completion_tokens: 1, cost_nano_usd: nanoUsd(7) });
  expect(bill.sums().total).toMatchObject({ calls: 2, completed: 0, aborted: 1, cost_nano_usd: 7 });
  endBig({ state: "completed", prompt_tokens: 10, completion_tokens: 50, cost_nano_usd: nanoUsd(120) });
  expect(bill.sums()).toEqual({
    models: [
      { model: "big", calls: 1, completed: 1, aborted: 0, failed: 0, prompt_tokens: 10, completion_tokens: 50, cost_nano_usd: 120 },
      { model: "small", calls: 1, completed: 0, aborted: 1, failed: 0, prompt_tokens: 3, completion_tokens: 1, cost_nano_usd: 7 },
    ],
    total: { calls: 2, completed: 1, aborted: 1, failed: 0, prompt_tokens: 13, completion_tokens: 51, cost_nano_usd: 127 },
  });
});

test("lists the latest calls only; older ones count in the sums, also when they end later", () => {
  const bill = makeBill(() => 5, 2);
  const [first] = ["a", "b", "c"].map((row) => bill.start(call("big", row)));
  first?.({ state: "completed", prompt_tokens: 1, completion_tokens: 1, cost_nano_usd: nanoUsd(9) });
  expect(bill.list()).toMatchObject({ calls: [{ row_id: "b", state: "running", ended_at_ms: null }, { row_id: "c" }], calls_dropped: 1 });
  expect(bill.sums().total).toMatchObject({ calls: 3, completed: 1, cost_nano_usd: 9 });
});
