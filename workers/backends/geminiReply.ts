/** What Google's Gemini API answers: once, or piece by piece in the same form. Pure but for the ids it is given. */
import { z } from "zod";

import type { AnswerDelta, FinishReason, ToolCall } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { confidenceFromLogprobs } from "#workers/confidence/fromLogprobs.ts";

import { BackendError } from "./backendError.ts";
import type { GrowingAnswer } from "./callStreaming.ts";
import type { SignedCall } from "./geminiRequest.ts";
import { errorOfStatus } from "./errorOfStatus.ts";
import { badResponse, cutAnswer, ToldCount, unpriced } from "./providerAnswer.ts";

const ByModality = z.array(z.object({ modality: z.string().nullish(), tokenCount: ToldCount })).nullish().catch(null);
const Told = z.object({
  promptTokenCount: ToldCount,
  toolUsePromptTokenCount: ToldCount,
  candidatesTokenCount: ToldCount,
  thoughtsTokenCount: ToldCount,
  cachedContentTokenCount: ToldCount,
  promptTokensDetails: ByModality,
  candidatesTokensDetails: ByModality,
});
const FunctionCall = z.object({ id: z.string().nullish(), name: z.string(), args: z.record(z.string(), z.unknown()).nullish() });
const Token = z.object({ token: z.string().default(""), logProbability: z.number() });
type Token = z.infer<typeof Token>;
const Logprobs = z.object({ chosenCandidates: z.array(Token).nullish(), topCandidates: z.array(z.object({ candidates: z.array(Token).nullish() })).nullish() });

const Reply = z.object({
  candidates: z.array(z.object({
    content: z.object({ parts: z.array(z.object({ text: z.string().optional(), thought: z.boolean().optional(), thoughtSignature: z.string().optional(), functionCall: FunctionCall.optional() })).nullish() }).nullish(),
    finishReason: z.string().nullish(),
    avgLogprobs: z.number().nullish(),
    logprobsResult: Logprobs.nullish(),
  })).nullish(),
  promptFeedback: z.object({ blockReason: z.string().nullish() }).nullish(),
  usageMetadata: Told.nullish().catch(null),
  modelVersion: z.string().nullish(),
});
const Failure = z.object({ error: z.object({ code: z.int() }) });

// A map: a server may say `constructor`, which every object has.
const FINISHES: ReadonlyMap<string, FinishReason> = new Map(Object.entries({
  STOP: "stop", MAX_TOKENS: "length",
  SAFETY: "content_filter", RECITATION: "content_filter", BLOCKLIST: "content_filter", PROHIBITED_CONTENT: "content_filter", SPII: "content_filter", LANGUAGE: "content_filter", IMAGE_SAFETY: "content_filter",
}));

interface GeminiReplyOptions {
  /** For calls that the server gave none. */
  readonly newId: () => string;
  /** Hand logprobs on: the request asked for them. */
  readonly withLogprobs: boolean;
}

/** A whole reply is one event. */
export function makeGeminiAnswer({ newId, withLogprobs }: GeminiReplyOptions): GrowingAnswer {
  const text: string[] = [];
  const calls: (ToolCall & { function: { arguments: string } })[] = [];
  const logprobs: ReturnType<typeof tokensOf> = [];
  let state: { finish: string | null; model: string | null; told: Usage | null; average: number | null; isBlocked: boolean } = { finish: null, model: null, told: null, average: null, isBlocked: false };

  const call = (made: z.infer<typeof FunctionCall>, signature: string | undefined): object => {
    const signed: SignedCall = signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } };
    const toolCall = { id: made.id ?? newId(), type: "function", function: { name: made.name, arguments: JSON.stringify(made.args ?? {}) }, ...signed };
    calls.push(toolCall);
    return { index: calls.length - 1, ...toolCall };
  };

  return {
    read(data) {
      const failure = Failure.safeParse(data).data;
      if (failure !== undefined) throw errorOf(failure.error.code);
      const reply = Reply.safeParse(data).data;
      const candidate = reply?.candidates?.[0];
      if (reply === undefined || (candidate === undefined && reply.usageMetadata == null && reply.promptFeedback == null)) throw badResponse("the reply is not one of the Gemini API");
      const parts = (candidate?.content?.parts ?? []).filter(({ thought }) => thought !== true);
      const piece = parts.map((part) => part.text ?? "").join("");
      const made = parts.flatMap((part) => (part.functionCall === undefined ? [] : [call(part.functionCall, part.thoughtSignature)]));
      const tokens = tokensOf(candidate?.logprobsResult ?? {});
      if (piece !== "") text.push(piece);
      logprobs.push(...tokens);
      state = {
        finish: candidate?.finishReason ?? state.finish,
        model: reply.modelVersion ?? state.model,
        told: reply.usageMetadata ? usageOf(reply.usageMetadata) : state.told,
        average: candidate?.avgLogprobs ?? state.average,
        isBlocked: state.isBlocked || reply.promptFeedback?.blockReason != null,
      };
      const delta: AnswerDelta = {
        ...(piece === "" ? {} : { text: piece }),
        ...(made.length === 0 ? {} : { tool_calls: made as NonNullable<AnswerDelta["tool_calls"]> }),
        ...(withLogprobs && tokens.length > 0 ? { logprobs: { content: tokens } } : {}),
      };
      return Object.keys(delta).length === 0 ? null : delta;
    },
    end() {
      const { finish: reason, isBlocked, told: usage, model, average } = state;
      if (reason === null && !isBlocked) throw cutAnswer();
      const known = reason === null ? "content_filter" : FINISHES.get(reason);
      if (known === undefined) {
        const error = badResponse("the answer ended for a reason that is not known here");
        throw usage === null ? error : error.spending(usage);
      }
      return {
        text: text.join(""),
        toolCalls: calls,
        finish: known === "stop" && calls.length > 0 ? "tool_calls" : known,
        refusal: null,
        ...(withLogprobs && logprobs.length > 0 ? { logprobs: { content: logprobs } } : {}),
        tokens: logprobs.map(({ token, logprob, top_logprobs }) => ({ token, logprob, ...(top_logprobs.length === 0 ? {} : { alternatives: top_logprobs }) })),
        model,
        usage,
        confidence: confidenceFromLogprobs(logprobs.length > 0 || average === null ? logprobs.map(({ logprob }) => logprob) : [average]),
      };
    },
    usage: () => state.told,
    said: () => [...text, ...calls.map((made) => made.function.arguments)].join(""),
  };
}

/** Thoughts are output that is paid for and not said. */
function usageOf({ promptTokenCount, toolUsePromptTokenCount, candidatesTokenCount, thoughtsTokenCount, cachedContentTokenCount, promptTokensDetails, candidatesTokensDetails }: z.infer<typeof Told>): Usage {
  const thought = thoughtsTokenCount ?? 0;
  return {
    input_tokens: (promptTokenCount ?? 0) + (toolUsePromptTokenCount ?? 0),
    output_tokens: (candidatesTokenCount ?? 0) + thought,
    cached_input_tokens: cachedContentTokenCount ?? 0,
    reasoning_output_tokens: thought,
    ...unpriced(...tokensIn(promptTokensDetails, ["AUDIO"]), ...tokensIn(candidatesTokensDetails, ["AUDIO", "IMAGE"])),
    source: "reported",
  };
}

/** Of modalities that have prices of their own. */
const tokensIn = (details: z.infer<typeof ByModality>, modalities: readonly string[]) => (details ?? []).flatMap(({ modality, tokenCount }) => (modalities.includes(modality ?? "") ? [tokenCount] : []));

/** As OpenAI writes them. */
function tokensOf({ chosenCandidates, topCandidates }: Partial<z.infer<typeof Logprobs>>) {
  const token = ({ token: text, logProbability }: Token) => ({ token: text, logprob: logProbability, bytes: [...Buffer.from(text)] });
  return (chosenCandidates ?? []).map((one, i) => ({ ...token(one), top_logprobs: (topCandidates?.[i]?.candidates ?? []).map(token) }));
}

function errorOf(status: number): BackendError {
  const { code, message, isTransient, isBackendsFault } = errorOfStatus(status, undefined, 0);
  return new BackendError(code, message, { isTransient, isBackendsFault, mayHaveCost: true });
}
