import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { serverSentEvents } from "./serverSentEvents.ts";

async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
async function read(text: string | Uint8Array, sizes = [1_000]): Promise<string[]> {
  const events: string[] = [];
  for await (const data of serverSentEvents(inPieces(Buffer.from(text as string), sizes))) events.push(data);
  return events;
}

describe("server-sent events", () => {
  it.each<[string, string, string[]]>([
    ["with names and comments", "event: a\ndata: 1\nid: 7\n\n: ping\n\ndata:2\n\n", ["1", "2"]],
    ["of several lines", "data: a\ndata: b\n\n", ["a\nb"]],
    ["with CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
    ["with CR", "data: a\r\rdata: b\r\rx", ["a", "b"]],
    ["after a byte order mark", "\uFEFFdata: a\n\n", ["a"]],
    ["that the end cuts off", "data: a\n\ndata: b\n", ["a"]],
    ["none", "", []],
  ])("%s", async (_name, text, expected) => {
    expect(await read(text)).toEqual(expected);
  });

  it("are the same however the network cuts them", async () => {
    const events = ["{\"text\":\"Grüße 🙂\"}", "b", "c d"];
    const text = events.map((data, i) => `event: x\ndata: ${data}${i % 2 === 0 ? "\r\n\r\n" : "\n\n"}`).join("");
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }), async (sizes) => {
      expect(await read(text, sizes)).toEqual(events);
    }));
  });

  it("are UTF-8", async () => {
    await expect(read(Buffer.from([0x64, 0xff, 0x0a]))).rejects.toMatchObject({ code: "backend_bad_response", mayHaveCost: true });
  });
});
