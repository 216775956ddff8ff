/** The recorded server's own bill, as a real one says it. */
import { afterAll, beforeAll, expect, it } from "vitest";

import { recordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";

import { readBillFrom } from "./billSource.ts";

let server: RecordedServer;
const tier = (cost_usd: number) => ({ cost_usd, prompt_tokens: 100, completion_tokens: 10, confidence: 0.9, latency_ms: 1, answer: "one two three four five six seven eight nine ten" });
beforeAll(async () => {
  const answers = recordedAnswers([{ id: "row-1", query: "Why?", tiers: { alpha: tier(0.00011), beta: tier(0.011) } }], new Map());
  server = await startRecordedServer({ answers, faults: [], seed: 1, timeScale: 0, firstTokenShare: 0.3, defaultLatencyMs: 0, port: 0, onBug: (error) => { throw error; } });
});
afterAll(() => server.close());

const ask = (model: string) => fetch(`${server.url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ model, messages: [{ role: "user", content: "Why?" }] }) });

it("is read by day and model", async () => {
  const before = new Date().toISOString().slice(0, 10);
  for (const model of ["alpha", "alpha", "beta"]) expect((await ask(model)).status).toBe(200);
  const bill = await readBillFrom(`${server.url}/bill`);
  expect(bill.every(({ day }) => day >= before)).toBe(true);
  expect(bill.filter(({ model }) => model === "alpha").reduce((sum, { cost }) => sum + cost, 0n)).toBe(220_000n);
  expect(bill.filter(({ model }) => model === "beta").reduce((sum, { cost }) => sum + cost, 0n)).toBe(11_000_000n);
});

it.each([["/healthz", /none of `inferctl serve-recorded`|cannot be read/], ["/v1/models", /none of `inferctl serve-recorded`/]])("%s is refused", async (path, message) => {
  await expect(readBillFrom(`${server.url}${path}`)).rejects.toThrow(message);
});

it("is refused where nobody answers", async () => {
  await expect(readBillFrom("http://127.0.0.1:9/bill")).rejects.toMatchObject({ exitCode: 69 });
});
