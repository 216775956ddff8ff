/** F13-F18: model servers that fail, stall and lie. */
import type { Behaviour } from "../backend.ts";
import { during } from "../during.ts";
import type { FaultCase, Trial } from "../faultCase.ts";
import { pick } from "../pick.ts";
import type { Faults } from "../proxy.ts";

/** About 6 s of the load. */
const SOME_REQUESTS = 72;
const CHEAP = "cheap";

/** While the backend behaves so; says how many calls it got for each request. */
async function behaving(trial: Trial, behaviours: readonly Behaviour[]): Promise<void> {
  const { rig, load, figure } = trial;
  const [callsBefore, sentBefore] = [rig.backend.total(), load.sent.length];
  rig.backend.set(behaviours);
  await during(trial, SOME_REQUESTS);
  rig.backend.heal();
  figure("calls per request", (rig.backend.total() - callsBefore) / (load.sent.length - sentBefore));
}

/** The whole of a request's time is its deadline, and the sweeper's grace where nobody ended it before. */
const SHORT_DEADLINE_MS = 6_000;
const LATEST_MS = SHORT_DEADLINE_MS * 1.1 + 5_000;
const stalling = (id: string, title: string, faults: Faults, more: Partial<FaultCase> = {}): FaultCase => ({
  id, title, isInShortForm: false, isForSoak: true, recoveryMs: 2_000, load: { deadlineMs: SHORT_DEADLINE_MS },
  async strike(trial) {
    const proxy = trial.rig.proxy("workers", "backend");
    proxy.set(faults);
    if (faults.isBlackHole === true) proxy.resetAll();
    await during(trial, SOME_REQUESTS);
    proxy.heal();
  },
  check(_verdict, { load, figure, violated }) {
    const slowestMs = Math.max(...load.sent.map(({ sentAtMs, answeredAtMs }) => (answeredAtMs ?? Infinity) - sentAtMs));
    figure("slowest answer s", slowestMs / 1_000);
    if (slowestMs > LATEST_MS) violated(`an answer took ${Math.round(slowestMs)} ms, with a deadline of ${SHORT_DEADLINE_MS}`);
  },
  ...more,
});

const garbage = (cut: string): readonly string[] => [
  "", "<html><body>502 Bad Gateway</body></html>", "{}", "[]", "null", '{"choices":[]}', '{"choices":[{"message":{"content":null}}]}', '{"error":{"message":"overloaded","type":"server_error"}}',
  cut, "[".repeat(50_000), '{"__proto__":{"choices":1},"choices":[{"message":{"content":1}}]}', '{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":-5,"completion_tokens":1e18}}',
];

export const backends: readonly FaultCase[] = [
  {
    id: "F13a", title: "the cheap model answers 500, 502, 503 or 529", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    strike: (trial) => behaving(trial, [{ model: CHEAP, status: pick([500, 502, 503, 529], trial.random) }]),
  },
  {
    id: "F13b", title: "every model answers 503", isInShortForm: false, isForSoak: true, recoveryMs: 7_000,
    strike: (trial) => behaving(trial, [{ status: 503 }]),
  },
  {
    id: "F14", title: "429 with Retry-After as seconds, a date, garbage, 1e9", isInShortForm: false, isForSoak: false, recoveryMs: 4_000,
    own: { tiers: [{ name: "cheap", slots: 16, max_tries: 3 }, { name: "dear", slots: 16, max_tries: 3 }] },
    async strike(trial) {
      const inTwoSeconds = () => new Date(Date.now() + 2_000).toUTCString();
      for (const { retryAfter, leastMs } of [{ retryAfter: "2", leastMs: 2_000 }, { retryAfter: inTwoSeconds(), leastMs: 0 }, { retryAfter: "soon", leastMs: 0 }, { retryAfter: "1000000000", leastMs: 3_600_000 }]) {
        trial.rig.backend.forget();
        await behaving(trial, [{ model: CHEAP, status: 429, retryAfter }]);
        const early = [...trial.rig.backend.callTimes()].filter(([key, times]) => key.endsWith(` ${CHEAP}`) && times.some((atMs, i) => i > 0 && atMs - (times[i - 1] ?? 0) < leastMs - 50));
        if (early.length > 0) trial.violated(`${early.length} requests asked again before Retry-After: ${retryAfter}`);
      }
    },
  },
  stalling("F15a", "connections to the models lead nowhere", { isBlackHole: true }, { isInShortForm: true }),
  stalling("F15b", "the models' answers stall", { down: { isStalled: true } }),
  stalling("F15c", "the models' answers come at 1 byte/s", { down: { bytesPerSecond: 1, sliceBytes: 1 } }),
  {
    id: "F16", title: "the cheap model answers garbage", isInShortForm: true, isForSoak: true, recoveryMs: 2_000,
    async strike(trial) {
      const bodies = garbage('{"choices":[{"message":{"content":"cut o');
      const first = Math.floor(trial.random() * bodies.length);
      for (const step of [0, 1, 2]) await behaving(trial, [{ model: CHEAP, body: bodies[(first + step) % bodies.length] ?? "" }]);
    },
    check(_verdict, { rig, violated }) {
      for (const { name, code, signal } of rig.exits) violated(`${name} ended with ${code ?? signal}`);
    },
  },
  {
    id: "F17", title: "the models' answers are cut in the middle, by RST and by FIN", isInShortForm: false, isForSoak: true, recoveryMs: 2_000,
    async strike(trial) {
      const proxy = trial.rig.proxy("workers", "backend");
      for (const cut of ["rstAfterBytes", "finAfterBytes"] as const) {
        proxy.set({ down: { [cut]: 20 + Math.floor(380 * trial.random()) } });
        proxy.resetAll();
        await during(trial, SOME_REQUESTS / 2);
      }
      proxy.heal();
    },
  },
  {
    id: "F18", title: "one of three replicas takes 20 times as long", isInShortForm: false, isForSoak: false,
    own: { tiers: [{ name: "cheap", slots: 16, replicas: ["cheap-a", "cheap-b", "cheap-c"] }, { name: "dear", slots: 16 }] }, load: { unsureShare: 0, failShare: 0 },
    async strike(trial) {
      const countOf = (model: string) => [...trial.rig.backend.calls()].reduce((sum, [key, { made }]) => sum + (key.endsWith(` ${model}`) ? made : 0), 0);
      const slow = pick(["cheap-a", "cheap-b", "cheap-c"], trial.random);
      trial.rig.backend.set([{ model: slow, delayMs: 1_200 }]);
      const [slowBefore, sentBefore] = [countOf(slow), trial.load.sent.length];
      await during(trial, 3 * SOME_REQUESTS);
      const share = (countOf(slow) - slowBefore) / (trial.load.sent.length - sentBefore);
      trial.figure("share of the slow one", share);
      if (share > 1 / 3) trial.violated(`the slow replica still got ${share.toFixed(2)} of the calls`);
    },
  },
];
