/**
 * Embeddings as OpenAI's clients ask for them, as requests of ours: as many as their vectors need, since what one message
 * can carry is a few dozen. Pure.
 */
import type { Completion } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import type { EmbeddingList, EmbeddingsBody } from "#shared/contracts/openAi.ts";
import { RequestId } from "#shared/contracts/ids.ts";
import type { Embed } from "#shared/contracts/chat.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { decodeVector, mostVectors } from "#shared/contracts/vectors.ts";

import { embedderOf } from "./models.ts";
import { badCall, type Refusal } from "./refusal.ts";
import { optimizerOf, usageOf } from "./replyOf.ts";
import { askingBy, type Door, type Headers, noSuchModel, withoutUnset } from "./requestOf.ts";

type Texts = Embed["texts"];
export type AskedForVectors =
  /** `parts`: one at least, in the order of their texts. `id`: of the call, where the client chose one. */
  | { readonly kind: "asked"; readonly id: string | undefined; readonly parts: readonly InferBody[] }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Of the texts of one part, as JSON: below what one request may have. */
const MOST_PART_BYTES = 200 * 1024;

export function embeddingsOf(body: EmbeddingsBody, headers: Headers, door: Door): AskedForVectors {
  const embedder = embedderOf(body.model, door.tierFile);
  if (embedder === undefined) return { kind: "refused", refusal: refusalOfModel(body.model, door) };
  const texts = textsOf(body.input);
  const parts: InferBody[] = [];
  for (const { from, to } of partsOf(texts, mostVectors(body.dimensions ?? embedder.dimensions))) {
    const embed = withoutUnset({ texts: texts.slice(from, to), dimensions: body.dimensions });
    const asked = askingBy(`always-${embedder.name}`, body, { embed }, headers, door, ([first, index, ...rest]) => (first === "texts" ? ["input", ...(typeof index === "number" ? [index + from] : []), ...rest] : first === undefined ? ["input"] : [first, ...rest]));
    if (asked.kind === "refused") return asked;
    parts.push(asked.body);
  }
  const id = parts[0]?.request_id;
  if (parts.length === 1 || id === undefined) return { kind: "asked", id, parts: shared(parts) };
  const longest = partId(id, parts.length - 1);
  if (!RequestId.safeParse(longest).success) return { kind: "refused", refusal: badCall("invalid_value", `the request id must be shorter: this call becomes ${parts.length} requests, the last of which would be ${longest}`, "optimizer.request_id") };
  return { kind: "asked", id, parts: shared(parts) };
}

/** Ids of a call's parts are its own with their place, so that the same call again finds them. */
export const partId = (id: string, place: number): string => `${id}-${place}`;

function refusalOfModel(model: string, { tierFile }: Door): Refusal {
  const names = tierFile.embedders.map(({ name }) => name);
  if (names.length === 0) return badCall("model_not_found", "this service has no embedders: list one under `embedders` in the tier file", "model", 404);
  if (model === "auto" || model.startsWith("auto:")) return badCall("invalid_value", `vectors of different models cannot be compared, so there is no '${model.slice(0, 64)}' for embeddings: name one of ${names.join(", ")}`, "model");
  return noSuchModel(model);
}

function textsOf(input: EmbeddingsBody["input"]): Texts {
  if (typeof input === "string") return [input];
  const isTokens = (list: typeof input): list is number[] => typeof list[0] === "number";
  return isTokens(input) ? [input] : input;
}

/** As few as possible, none of which is larger than it may be but for a text that is alone. */
function partsOf(texts: Texts, mostTexts: number): { from: number; to: number }[] {
  const parts: { from: number; to: number }[] = [];
  let from = 0, bytes = 0;
  texts.forEach((text, i) => {
    const more = Buffer.byteLength(JSON.stringify(text)) + 1;
    if (i > from && (i - from >= mostTexts || bytes + more > MOST_PART_BYTES)) {
      parts.push({ from, to: i });
      [from, bytes] = [i, 0];
    }
    bytes += more;
  });
  return [...parts, { from, to: texts.length }];
}

/** Each part has its share of the call's budget, by the size of its texts: together they cannot cost more. */
function shared(parts: readonly InferBody[]): InferBody[] {
  const sizes = parts.map(({ embed }) => Buffer.byteLength(JSON.stringify(embed)));
  const whole = sizes.reduce((sum, size) => sum + size, 0);
  return parts.map((part, i) => (parts.length === 1 ? part : { ...part, budget: Math.floor((part.budget * 1e9 * (sizes[i] ?? 0)) / whole) / 1e9 }));
}

/** `events`: of the parts, in their order, each with an answer. */
export function vectorsReplyOf(id: string, events: readonly [Completion, ...Completion[]], { encoding_format }: Pick<EmbeddingsBody, "encoding_format">, options: { readonly explain: boolean }): EmbeddingList {
  const vectors = events.flatMap(({ message }) => message?.vectors ?? []);
  const tokens = events.reduce((sum, event) => sum + (usageOf(event)?.prompt_tokens ?? 0), 0);
  return {
    object: "list",
    data: vectors.map((vector, index) => ({ object: "embedding", index, embedding: encoding_format === "base64" ? vector : (decodeVector(vector) ?? []) })),
    model: events[0].model ?? "",
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    optimizer: optimizerOf(asOne(id, events), options),
  };
}

/** The call as one: costs and attempts of all parts, all else of the first. */
export function asOne(id: string, events: readonly [Completion, ...Completion[]]): Completion {
  const [{ cache, ...first }] = events;
  const sum = (of: (event: Completion) => number) => nanoUsd(events.reduce((total, event) => total + of(event), 0));
  const isCached = events.every((event) => event.cache !== undefined);
  return { ...first, ...(isCached && cache !== undefined ? { cache } : {}), request_id: id, cost_nano_usd: sum((event) => event.cost_nano_usd), baseline_cost_nano_usd: sum((event) => event.baseline_cost_nano_usd ?? 0), attempts: events.flatMap(({ attempts }) => attempts) };
}

