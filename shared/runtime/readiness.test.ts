import { expect, it } from "vitest";

import { makeReadiness } from "./readiness.ts";

it("is not ready before the role has started, whatever its parts say", () => {
  const readiness = makeReadiness(new AbortController().signal);
  readiness.watch(() => []);
  expect(readiness.problems()).toEqual(["starting"]);
  readiness.started();
  expect(readiness.problems()).toEqual([]);
});

it("collects the problems of all parts, as they are now", () => {
  const readiness = makeReadiness(new AbortController().signal);
  let nats: string[] = ["NATS is disconnected"];
  readiness.watch(() => nats);
  readiness.watch(() => ["the audit tables are missing", "no disk"]);
  readiness.started();
  expect(readiness.problems()).toEqual(["NATS is disconnected", "the audit tables are missing", "no disk"]);
  nats = [];
  expect(readiness.problems()).toEqual(["the audit tables are missing", "no disk"]);
});

it("is not ready any more once shutdown begins", () => {
  const shutdown = new AbortController();
  const readiness = makeReadiness(shutdown.signal);
  readiness.started();
  shutdown.abort();
  expect(readiness.problems()).toEqual(["shutting down"]);
});

it("is ready with a warning", () => {
  const readiness = makeReadiness(new AbortController().signal);
  readiness.started();
  readiness.warn("an old server");
  expect([readiness.problems(), readiness.warnings()]).toEqual([[], ["an old server"]]);
});
