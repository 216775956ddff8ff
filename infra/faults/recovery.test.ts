import { expect, it } from "vitest";

import { recoveryOf } from "./recovery.ts";

/** One request each 100 ms, with a latency by when it was sent. */
const run = (untilMs: number, latencyMs: (sentAtMs: number) => number | null) =>
  Array.from({ length: untilMs / 100 }, (_, i) => i * 100).map((sentAtMs) => {
    const latency = latencyMs(sentAtMs);
    return { sentAtMs, answeredAtMs: latency === null ? null : sentAtMs + latency };
  });
const TIMES = { struckAtMs: 3_000, healedAtMs: 5_000 };

it("is the first success after healing, and the second from which latencies are as before", () => {
  const sent = run(10_000, (at) => (at < 3_000 ? 200 : at < 5_000 ? null : at < 7_000 ? 900 : 250));
  expect(recoveryOf(sent, TIMES)).toEqual({ p99BeforeMs: 200, p99DuringMs: null, p99AfterMs: 900, firstSuccessMs: 900, calmAfterMs: 2_000 });
});

it("is none where nothing is answered, or latencies stay", () => {
  expect(recoveryOf(run(8_000, (at) => (at < 3_000 ? 10 : null)), TIMES)).toMatchObject({ firstSuccessMs: null, calmAfterMs: null });
  expect(recoveryOf(run(8_000, (at) => (at < 3_000 ? 10 : 500)), TIMES)).toMatchObject({ firstSuccessMs: 500, calmAfterMs: null });
});
