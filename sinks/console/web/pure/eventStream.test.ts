import fc from "fast-check";
import { expect, it } from "vitest";

import { backOffMs, makeEventReader } from "./eventStream.ts";

const STREAM = ": hello\n\nevent: tiers\ndata: {\"a\":1}\n\nevent: requests\r\ndata: {\r\ndata: }\r\n\r\ndata:x\n\nevent: nothing\n\n";
const EVENTS = [{ event: "tiers", data: '{"a":1}' }, { event: "requests", data: "{\n}" }, { event: "message", data: "x" }];

it("reads events, wherever the stream is cut", () => {
  fc.assert(fc.property(fc.array(fc.nat(STREAM.length), { maxLength: 12 }), (places) => {
    const cuts = [0, ...places.sort((a, b) => a - b), STREAM.length];
    const read = makeEventReader();
    expect(cuts.slice(1).flatMap((end, i) => read(STREAM.slice(cuts[i], end)))).toEqual(EVENTS);
  }));
});

it("keeps what is not whole for later", () => {
  const read = makeEventReader();
  expect([read("data: 1\n"), read("\n"), read("data: 2")]).toEqual([[], [{ event: "message", data: "1" }], []]);
});

it("waits longer after each failure, and never longer than half a minute", () => expect([0, 1, 2, 4, 5, 99].map(backOffMs)).toEqual([1_000, 2_000, 4_000, 16_000, 30_000, 30_000]));
