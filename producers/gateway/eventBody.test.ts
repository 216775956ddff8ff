import { text } from "node:stream/consumers";

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { eventsOf } from "#shared/contracts/requestEvents.ts";

import { makeEventBody } from "./eventBody.ts";

beforeEach(() => { vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }); });
afterEach(() => { vi.useRealTimers(); });

it("writes events as EventSource reads them, each in one line of data", async () => {
  const stream = makeEventBody();
  const [accepted] = eventsOf(Completion.parse({ ...fixture, output: "two\nlines" }), {});
  stream.send(accepted === undefined ? [] : [accepted]);
  stream.end();
  expect(await text(stream.body)).toBe('retry: 2000\n\nid: 0\nevent: accepted\ndata: {"request_id":"r-1","tenant_id":"t1","accepted_at_ms":1767225600000}\n\n');
  const whole = makeEventBody();
  whole.send(eventsOf(Completion.parse({ ...fixture, output: "two\nlines" }), {}));
  whole.end();
  expect((await text(whole.body)).match(/^data: .*\n\n/gm)).toHaveLength(8);
});

it("says every 15 s that it is there, until it ends", async () => {
  const stream = makeEventBody();
  vi.advanceTimersByTime(14_999);
  stream.send([]);
  vi.advanceTimersByTime(30_001);
  stream.end();
  expect(vi.getTimerCount()).toBe(0);
  expect(await text(stream.body)).toBe("retry: 2000\n\n: heartbeat\n\n: heartbeat\n\n: heartbeat\n\n");
});

it("takes what comes after its reader left, and an end twice", () => {
  const stream = makeEventBody();
  stream.body.destroy();
  stream.send(eventsOf(Completion.parse(fixture), {}));
  stream.end();
  expect(() => { stream.end(); }).not.toThrow();
});
