import { describe, expect, test } from "vitest";

import type { ChatRequest } from "./chatRequest.ts";
import { emptied, toCompletion } from "./completion.ts";
import { Faults, hitBy } from "./faults.ts";
import { bodyFrames, type Frame, type Reply, streamFrames } from "./frames.ts";
import type { SaidAnswer } from "./pieces.ts";

const REQUEST: ChatRequest = { model: "big", query: "q", isStream: true, includesUsage: true, mostPieces: null, stops: [], wantsLogprobs: false, wantsAlternative: false, toolChoice: "auto" };
const ANSWER = { rowId: "r", query: "q", text: "a b c d", calls: [], costUsd: 1, promptTokens: 1, completionTokens: 4, confidence: null, latencyMs: 100 };
const timing = { latencyMs: 100, firstTokenShare: 0.1, pieces: 4 };

const CALLS = [{ id: "c1", name: "f", arguments: '{"a":1}' }, { id: "c2", name: "g", arguments: "{}" }];

function replyWith(fault: object | null, said: SaidAnswer = ANSWER): Reply {
  const faults = fault === null ? [] : Faults.parse([{ ...fault, share: 1 }]);
  const completion = toCompletion(ANSWER, said, REQUEST, { id: "x", created: 0 });
  const hit = hitBy(faults, 1, { model: "big", rowId: "r", nth: 1 });
  return { completion: hit.fault?.kind === "empty" ? emptied(completion) : completion, timing, fault: hit.fault };
}
/** What is sent, one word a frame: a piece's text, a call's beginning or more of its arguments, or what kind of thing it is. */
function outline(frame: Frame): string {
  if (frame.kind !== "bytes") return frame.kind === "end" ? `end:${frame.state}` : frame.kind;
  const [, first = ""] = /^data: (.*)\n\n/.exec(String(frame.bytes)) ?? [];
  try {
    const { choices } = JSON.parse(first) as { choices: { delta: { role?: string; content?: string; tool_calls?: { index: number; id?: string; type?: string; function: { name?: string; arguments: string } }[] }; finish_reason: string | null }[] };
    const call = choices[0]?.delta.tool_calls?.[0];
    if (call !== undefined) return [call.index, call.id, call.type, call.function.name, call.function.arguments].filter((part) => part !== undefined).join(":");
    return choices[0]?.delta.role ?? choices[0]?.delta.content?.trim() ?? choices[0]?.finish_reason ?? "?";
  } catch {
    return "garbage";
  }
}

test.each([
  [null, "assistant a b c d stop end:completed"],
  [{ kind: "cut" }, "assistant a b destroy"],
  [{ kind: "truncate" }, "assistant a b end:failed"],
  [{ kind: "stall" }, "assistant a b silence c d stop end:completed"],
  [{ kind: "garble" }, "assistant a b garbage c d stop end:failed"],
  [{ kind: "empty" }, "assistant stop end:failed"],
])("a stream with the fault %j", (fault, sent) => {
  expect([...streamFrames(replyWith(fault), true)].map(outline).join(" ")).toBe(sent);
});

test.each([
  [null, 'assistant 0:c1:function:f: 0:{"a" 0::1} 1:c2:function:g: 1:{} tool_calls end:completed'],
  [{ kind: "cut" }, 'assistant 0:c1:function:f: 0:{"a" destroy'],
  [{ kind: "truncate" }, 'assistant 0:c1:function:f: 0:{"a" end:failed'],
  [{ kind: "stall" }, 'assistant 0:c1:function:f: 0:{"a" silence 0::1} 1:c2:function:g: 1:{} tool_calls end:completed'],
  [{ kind: "garble" }, 'assistant 0:c1:function:f: 0:{"a" garbage 0::1} 1:c2:function:g: 1:{} tool_calls end:failed'],
  [{ kind: "empty" }, "assistant stop end:failed"],
])("a stream of calls with the fault %j", (fault, sent) => {
  expect([...streamFrames(replyWith(fault, { text: "", calls: CALLS }), true)].map(outline).join(" ")).toBe(sent);
});

test("each piece comes in its time, and says how much is there then", () => {
  const frames = [...streamFrames(replyWith(null), true)].flatMap((frame) => (frame.kind === "bytes" ? [[frame.dueMs, frame.produced]] : []));
  expect(frames).toEqual([[10, 0], [10, 1], [40, 2], [70, 3], [100, 4], [100, 4]]);
});

test("the last frame has the reason, the usage if it is wanted, and the end mark", () => {
  const last = (includesUsage: boolean) => [...streamFrames(replyWith(null), includesUsage)].flatMap((frame) => (frame.kind === "bytes" ? [String(frame.bytes)] : [])).at(-1) ?? "";
  expect(last(true)).toMatch(/^data: \{.*"finish_reason":"stop".*\}\n\ndata: \{.*"choices":\[\],"usage":\{"prompt_tokens":1,.*\}\n\ndata: \[DONE\]\n\n$/);
  expect(last(false)).toMatch(/^data: \{.*"finish_reason":"stop".*\}\n\ndata: \[DONE\]\n\n$/);
});

describe("a body is there when all of the answer is", () => {
  const sentOf = (fault: object | null) => {
    const { contentLength, frames } = bodyFrames(replyWith(fault));
    const all = [...{ [Symbol.iterator]: () => frames }];
    const bytes = Buffer.concat(all.flatMap((frame) => (frame.kind === "bytes" ? [Buffer.from(frame.bytes)] : [])));
    return { contentLength, kinds: all.map((frame) => (frame.kind === "end" ? `end:${frame.state}` : frame.kind)).join(" "), bytes };
  };
  const contentOf = (bytes: Buffer) => (JSON.parse(bytes.toString()) as { choices: { message: { content: string }; finish_reason: string | null }[] }).choices[0];

  test.each([
    [null, "bytes end:completed", "a b c d", "stop"],
    [{ kind: "stall" }, "bytes silence bytes end:completed", "a b c d", "stop"],
    [{ kind: "truncate" }, "bytes end:failed", "a b", null],
    [{ kind: "empty" }, "bytes end:failed", "", "stop"],
  ])("with the fault %j", (fault, kinds, content, finishReason) => {
    const sent = sentOf(fault);
    expect([sent.kinds, sent.bytes.length]).toEqual([kinds, sent.contentLength]);
    expect(contentOf(sent.bytes)).toMatchObject({ message: { content }, finish_reason: finishReason });
  });

  test("garbled, it is as long as it says and no JSON", () => {
    const { contentLength, kinds, bytes } = sentOf({ kind: "garble" });
    expect([kinds, bytes.length]).toEqual(["bytes end:failed", contentLength]);
    expect(() => contentOf(bytes)).toThrow(SyntaxError);
  });

  test("cut, it is shorter than it says", () => {
    const { contentLength, kinds, bytes } = sentOf({ kind: "cut" });
    expect(kinds).toBe("bytes destroy");
    expect(bytes.length).toBeLessThan(contentLength);
  });
});
