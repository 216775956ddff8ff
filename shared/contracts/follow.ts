/**
 * A streamed answer: what of its pieces is shown, and what is left to say when the stored event is there. Pure.
 * The invariant: what a client was sent is a beginning of the stored answer, or the stream ends with an error.
 */
import type { AnswerDelta, TokenMessage, ToolCall } from "./chat.ts";
import type { Completion } from "./events.ts";

/** What a client was sent. */
export interface Sent {
  /** `null`: nothing yet. */
  readonly run: string | null;
  readonly nextSeq: number;
  /** A piece is missing, or another run began: no more pieces are shown. */
  readonly isStopped: boolean;
  readonly text: string;
  readonly refusal: string;
  readonly calls: ReadonlyMap<number, SentCall>;
  readonly logprobs: number;
}
interface SentCall { readonly id: string; readonly name: string; readonly arguments: string }

export const NOTHING_SENT: Sent = { run: null, nextSeq: 0, isStopped: false, text: "", refusal: "", calls: new Map(), logprobs: 0 };
export const stopped = (sent: Sent): Sent => ({ ...sent, isStopped: true });

/** The pieces of a message that follow what was sent; none when they do not. */
export function follow(sent: Sent, { run, seq, deltas }: Pick<TokenMessage, "run" | "seq" | "deltas">): { readonly sent: Sent; readonly deltas: readonly AnswerDelta[] } {
  const isNext = !sent.isStopped && seq === sent.nextSeq && (sent.run ?? run) === run;
  if (!isNext || !deltas.every(isFollowable)) return { sent: stopped(sent), deltas: [] };
  return { sent: deltas.reduce(grown, { ...sent, run, nextSeq: seq + 1 }), deltas };
}

/** Calls that are not functions cannot be held against the stored ones piece by piece. */
const isFollowable = ({ tool_calls = [] }: AnswerDelta): boolean => tool_calls.every(({ type }) => type === undefined || type === "function");

function grown(sent: Sent, delta: AnswerDelta): Sent {
  const calls = new Map(sent.calls);
  for (const piece of delta.tool_calls ?? []) {
    const { id, name, arguments: args } = pieceOf(piece);
    const before = calls.get(piece.index) ?? { id: "", name: "", arguments: "" };
    calls.set(piece.index, { id: before.id || id, name: before.name + name, arguments: before.arguments + args });
  }
  return { ...sent, calls, text: sent.text + (delta.text ?? ""), refusal: sent.refusal + (delta.refusal ?? ""), logprobs: sent.logprobs + tokensIn(delta.logprobs).length };
}

export function pieceOf(piece: Readonly<Record<string, unknown>>): SentCall {
  const { name, arguments: args } = (typeof piece["function"] === "object" ? piece["function"] : null) as { name?: unknown; arguments?: unknown } | null ?? {};
  return { id: textOf(piece["id"]), name: textOf(name), arguments: textOf(args) };
}
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

export function tokensIn(logprobs: unknown): readonly unknown[] {
  const content = typeof logprobs === "object" && logprobs !== null && "content" in logprobs ? logprobs.content : null;
  return Array.isArray(content) ? content : [];
}

/** What the stored answer has beyond what was sent; `null` when what was sent is no beginning of it. */
export function restOf(sent: Sent, { output, message }: Pick<Completion, "output" | "message">): AnswerDelta[] | null {
  const text = after(output ?? "", sent.text), refusal = after(message?.refusal ?? "", sent.refusal);
  const calls = restOfCalls(sent.calls, message?.tool_calls ?? []);
  if (text === null || refusal === null || calls === null) return null;
  const content = tokensIn(message?.logprobs).slice(sent.logprobs);
  const [first, ...pieces] = cut(text);
  const logprobs = content.length === 0 ? {} : { logprobs: { content } };
  return [
    ...(first !== undefined || content.length > 0 ? [{ text: first ?? "", ...logprobs }] : []),
    ...pieces.map((piece) => ({ text: piece })),
    ...(refusal === "" ? [] : [{ refusal }]),
    ...(calls.length === 0 ? [] : [{ tool_calls: calls }]),
  ];
}

const after = (whole: string, beginning: string): string | null => (whole.startsWith(beginning) ? whole.slice(beginning.length) : null);

function restOfCalls(sent: ReadonlyMap<number, SentCall>, stored: readonly ToolCall[]): NonNullable<AnswerDelta["tool_calls"]> | null {
  if ([...sent.keys()].some((index) => index >= stored.length)) return null;
  const rest: NonNullable<AnswerDelta["tool_calls"]> = [];
  for (const [index, call] of stored.entries()) {
    const before = sent.get(index);
    if (before === undefined) {
      rest.push({ index, ...call });
      continue;
    }
    const left = call.function === undefined || call.id !== before.id || call.function.name !== before.name ? null : after(call.function.arguments, before.arguments);
    if (left === null) return null;
    if (left !== "") rest.push({ index, function: { arguments: left } });
  }
  return rest;
}

const SHORTEST_PIECE = 64;
const MOST_PIECES = 128;
/** In pieces of whole characters, as many for a long text as for a longer one. */
function cut(text: string): string[] {
  const size = Math.max(SHORTEST_PIECE, Math.ceil(text.length / MOST_PIECES));
  const pieces: string[] = [];
  for (let from = 0; from < text.length;) {
    const isWithinPair = /[\uD800-\uDBFF]/.test(text[from + size - 1] ?? "");
    const to = from + size + (isWithinPair ? 1 : 0);
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}
