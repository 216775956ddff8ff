/** A response's stream. A message ends where the next item begins. A call ends with the answer: until then a model may go on with it, whatever it began since. */
import type { AnswerDelta } from "#shared/contracts/chat.ts";
import { pieceOf, tokensIn } from "#shared/contracts/follow.ts";
import type { OutputItem, OutputMessage, OutputPart } from "#shared/contracts/responses.ts";

import type { Refusal } from "../refusal.ts";
import type { StreamFrames } from "../streamReply.ts";
import { answered, callItem, itemStatusOf, messageItem, refusalPart, type ResponseHead, responseInProgress, statusOf, textPart } from "./replyOf.ts";

export function responseFrames(head: ResponseHead, options: { readonly explain: boolean }): StreamFrames {
  const { requestId } = head;
  /** Open are those in progress: calls, and a message only as the last item; of that its last part. */
  const output: OutputItem[] = [];
  /** Where in `output` a call is, by the model's index. */
  const places = new Map<number, number>();
  let sequence = 0, model = "";

  const frame = (type: string, fields: object) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...fields })}\n\n`;
  const last = () => output.length - 1;
  const placeOf = ({ id, content }: OutputMessage) => ({ item_id: id, output_index: last(), content_index: content.length - 1 });

  function begin(item: OutputItem): string {
    const ended = output.at(-1)?.type === "message" ? end(last(), "completed") : "";
    output.push(item);
    return ended + frame("response.output_item.added", { output_index: last(), item });
  }

  function end(place: number, status: OutputItem["status"]): string {
    const open = output[place];
    if (open?.status !== "in_progress") return "";
    const item = { ...open, status };
    output[place] = item;
    const ended = item.type === "message"
      ? endPart(item)
      : frame("response.function_call_arguments.done", { item_id: item.id, output_index: place, name: item.name, arguments: item.arguments });
    return ended + frame("response.output_item.done", { output_index: place, item });
  }

  function beginPart(message: OutputMessage, part: OutputPart): string {
    const longer = { ...message, content: [...message.content, part] };
    output[last()] = longer;
    return frame("response.content_part.added", { ...placeOf(longer), part });
  }

  function endPart(message: OutputMessage): string {
    const part = message.content.at(-1);
    if (part === undefined) return "";
    const place = placeOf(message);
    const said = part.type === "refusal"
      ? frame("response.refusal.done", { ...place, refusal: part.refusal })
      : frame("response.output_text.done", { ...place, text: part.text, logprobs: part.logprobs });
    return said + frame("response.content_part.done", { ...place, part });
  }

  function say(delta: OutputPart): string {
    const open = output.at(-1);
    const message = open?.type === "message" ? open : messageItem(requestId, output.length);
    const isMore = message.content.at(-1)?.type === delta.type;
    const begun = (message === open ? "" : begin(message)) + (isMore ? "" : endPart(message) + beginPart(message, delta.type === "refusal" ? refusalPart("") : textPart("", [])));
    return begun + grow(delta);
  }

  /** `delta` is of the kind of the part that is open. */
  function grow(delta: OutputPart): string {
    const message = output.at(-1);
    if (message?.type !== "message") return "";
    const part = message.content.at(-1);
    const content = message.content.slice(0, -1);
    if (delta.type === "refusal" && part?.type === "refusal") {
      output[last()] = { ...message, content: [...content, refusalPart(part.refusal + delta.refusal)] };
      return frame("response.refusal.delta", { ...placeOf(message), delta: delta.refusal });
    }
    if (delta.type === "output_text" && part?.type === "output_text") {
      output[last()] = { ...message, content: [...content, textPart(part.text + delta.text, [...part.logprobs, ...delta.logprobs])] };
      return frame("response.output_text.delta", { ...placeOf(message), delta: delta.text, logprobs: delta.logprobs });
    }
    return "";
  }

  function sayCall(piece: NonNullable<AnswerDelta["tool_calls"]>[number]): string {
    const { id, name, arguments: delta } = pieceOf(piece);
    const known = places.get(piece.index);
    const begun = known === undefined ? begin(callItem(requestId, output.length, { call_id: id, name, arguments: "" })) : "";
    const place = known ?? last();
    places.set(piece.index, place);
    const call = output[place];
    if (call?.type !== "function_call") return begun;
    output[place] = { ...call, call_id: call.call_id || id, name: known === undefined ? name : call.name + name, arguments: call.arguments + delta };
    return begun + (delta === "" ? "" : frame("response.function_call_arguments.delta", { item_id: call.id, output_index: place, delta }));
  }

  function isTextOpen(): boolean {
    const open = output.at(-1);
    return open?.type === "message" && open.content.at(-1)?.type === "output_text";
  }

  const fail = ({ code, message }: Refusal["error"]) =>
    frame("response.failed", { response: { ...responseInProgress(head, model), status: "failed", error: { code: code ?? "server_error", message } } });

  return {
    open(answering) {
      model = answering;
      const response = responseInProgress(head, model);
      return frame("response.created", { response }) + frame("response.in_progress", { response });
    },
    piece(_model, { text = "", refusal = "", tool_calls = [], logprobs }) {
      const tokens = tokensIn(logprobs);
      const said = text !== "" || (tokens.length > 0 && isTextOpen()) ? say(textPart(text, tokens)) : "";
      return said + (refusal === "" ? "" : say(refusalPart(refusal))) + tool_calls.map(sayCall).join("");
    },
    end(event) {
      const begun = output.length === 0 ? say(textPart("", [])) : "";
      const ended = output.map((item, place) => end(place, itemStatusOf(event, item, place === last()))).join("");
      return begun + ended + frame(`response.${statusOf(event)}`, { response: answered(head, event, output, options) });
    },
    fail,
  };
}
