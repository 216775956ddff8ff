/** One streamed chat as a client sees it: every byte, and when the first piece of text came. */
import { z } from "zod";

const Chunk = z.object({
  choices: z.array(z.object({ delta: z.object({ content: z.string().nullish() }), finish_reason: z.string().nullish() })).optional(),
  optimizer: z.object({ request_id: z.string(), tier: z.string().nullable(), cost_usd: z.number(), attempts: z.array(z.object({ tier: z.string(), outcome: z.string(), cost_usd: z.number() })) }).optional(),
  error: z.object({ code: z.string().nullable(), message: z.string() }).optional(),
});
export interface StreamedChat {
  readonly text: string;
  /** It ended as a whole answer does: with the reason `stop` and `[DONE]`. Another reason says itself that it was cut. */
  readonly isComplete: boolean;
  /** Of the HTTP reply or in the stream; `null`: none. */
  readonly error: string | null;
  readonly optimizer: z.infer<typeof Chunk>["optimizer"] | null;
  /** From the call to the first text. */
  readonly firstTextMs: number | null;
}

export async function streamChat(url: string, body: object, timeoutMs: number): Promise<StreamedChat> {
  const startedAtMs = performance.now();
  const seen = { text: "", isDone: false, reason: null as string | null, error: null as string | null, optimizer: null as StreamedChat["optimizer"], firstTextMs: null as number | null };
  try {
    const response = await fetch(`${url}/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...body, stream: true }), signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok || response.body === null) return { text: "", isComplete: false, error: `${response.status} ${Chunk.safeParse(await response.json().catch(() => ({}))).data?.error?.code ?? ""}`, optimizer: null, firstTextMs: null };
    let rest = "";
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + part).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) take(event);
    }
  } catch (error) {
    seen.error ??= error instanceof Error ? error.name : String(error);
  }
  return { text: seen.text, isComplete: seen.isDone && seen.reason === "stop" && seen.error === null, error: seen.error ?? (seen.isDone && seen.reason !== "stop" ? seen.reason : null), optimizer: seen.optimizer, firstTextMs: seen.firstTextMs };

  function take(event: string): void {
    if (!event.startsWith("data: ")) return;
    if (event === "data: [DONE]") {
      seen.isDone = true;
      return;
    }
    const { choices = [], optimizer, error } = Chunk.parse(JSON.parse(event.slice(6)));
    if (error !== undefined) seen.error = error.code ?? error.message;
    seen.optimizer = optimizer ?? seen.optimizer;
    for (const { delta, finish_reason } of choices) {
      if (delta.content) seen.firstTextMs ??= performance.now() - startedAtMs;
      seen.text += delta.content ?? "";
      seen.reason = finish_reason ?? seen.reason;
    }
  }
}
