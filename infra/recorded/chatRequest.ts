/** What a caller may ask of `POST /v1/chat/completions`. What only changes how a model would sample is ignored. Pure. */
import { z } from "zod";

import { inOneLine } from "#shared/contracts/describeIssues.ts";

import { type Refusal, refusal } from "./refusal.ts";

const Message = z.object({
  role: z.string(),
  content: z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() }))]).nullish(),
});
const Named = z.object({ name: z.string().min(1).max(256) });
const ToolChoice = z.union([z.enum(["none", "auto", "required"]), z.object({ type: z.literal("function"), function: Named })], "must be none, auto, required or a function");
const Body = z
  .object({
    model: z.string().min(1).max(500),
    messages: z.array(Message).min(1),
    stream: z.boolean().nullish(),
    stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
    max_tokens: z.int().positive().nullish(),
    max_completion_tokens: z.int().positive().nullish(),
    n: z.literal(1, "only one answer was recorded: leave n out, or say 1").nullish(),
    stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    tools: z.array(z.object({ type: z.string(), function: Named.optional() })).nullish(),
    tool_choice: ToolChoice.nullish(),
  })
  .refine(({ logprobs, top_logprobs }) => top_logprobs == null || logprobs === true, { path: ["top_logprobs"], error: "needs logprobs: true" })
  .refine(({ tools, tool_choice }) => isFree(tool_choice) || (tools ?? []).length > 0, { path: ["tool_choice"], error: "needs tools" });
const isFree = (choice: z.infer<typeof ToolChoice> | null | undefined): boolean => choice == null || choice === "auto" || choice === "none";

export interface ChatRequest {
  readonly model: string;
  /** Text of the last message from the user or a tool, trimmed; its parts joined. Empty when there is none. */
  readonly query: string;
  readonly isStream: boolean;
  /** Of a stream: the last chunk has the usage. */
  readonly includesUsage: boolean;
  /** `null`: no limit. */
  readonly mostPieces: number | null;
  /** None is empty. */
  readonly stops: readonly string[];
  readonly wantsLogprobs: boolean;
  readonly wantsAlternative: boolean;
  /** What must be called: nothing, whatever the model likes, anything, or this function alone. `none` without tools. */
  readonly toolChoice: "none" | "auto" | "required" | { readonly only: string };
}

/** The request, or why it is none. */
export function readChatRequest(body: unknown): ChatRequest | Refusal {
  const { data, error } = Body.safeParse(body);
  if (error !== undefined) {
    const [first] = error.issues;
    const param = first === undefined || first.path.length === 0 ? null : first.path.join(".");
    return refusal(400, null, `${param === null ? "" : `${param}: `}${inOneLine([first?.message ?? "invalid"])}`, param);
  }
  return {
    model: data.model,
    query: queryIn(data.messages),
    isStream: data.stream === true,
    includesUsage: data.stream_options?.include_usage === true,
    mostPieces: data.max_completion_tokens ?? data.max_tokens ?? null,
    stops: [data.stop ?? []].flat().filter((stop) => stop !== ""),
    wantsLogprobs: data.logprobs === true,
    wantsAlternative: (data.top_logprobs ?? 0) > 0,
    toolChoice: toolChoiceIn(data),
  };
}

function toolChoiceIn({ tools, tool_choice: choice }: z.infer<typeof Body>): ChatRequest["toolChoice"] {
  if ((tools ?? []).length === 0) return "none";
  return typeof choice === "object" && choice !== null ? { only: choice.function.name } : (choice ?? "auto");
}

function queryIn(messages: z.infer<typeof Body>["messages"]): string {
  const content = messages.findLast(({ role }) => role === "user" || role === "tool")?.content ?? "";
  const text = typeof content === "string" ? content : content.map(({ type, text: part }) => (type === "text" ? (part ?? "") : "")).join("");
  return text.trim();
}
