/** Test code: reads server-sent events, as a client does. */
import { waitUntil } from "#infra/embedded/waitUntil.ts";

/** One stream. */
export interface TestEvents {
  readonly status: number;
  readonly headers: Headers;
  /** Grows. Of an error: the whole body. */
  readonly text: string;
  readonly events: readonly { readonly id: string; readonly event: string; readonly data: unknown }[];
  /** Waits for so many events. */
  readonly until: (count: number) => Promise<void>;
  /** Resolves when the server ends the stream, or the client left it. */
  readonly ended: Promise<void>;
  readonly leave: () => void;
}

/** Resolves once the headers are there, and for an error its body. */
export async function openEvents(url: string, lastEventId?: string): Promise<TestEvents> {
  const leaving = new AbortController();
  const response = await fetch(url, { headers: lastEventId === undefined ? {} : { "last-event-id": lastEventId }, signal: leaving.signal });
  let text = "";
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array, { stream: true });
  };
  const ended = read().catch((error: unknown) => { if (!leaving.signal.aborted) throw error; });
  if (!response.ok) await ended;
  const events = () => text.split("\n\n").slice(0, -1).flatMap((frame) => {
    const [, id, event, data] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(frame) ?? [];
    return id === undefined || event === undefined || data === undefined ? [] : [{ id, event, data: JSON.parse(data) as unknown }];
  });
  return {
    status: response.status, headers: response.headers, ended,
    get text() { return text; },
    get events() { return events(); },
    until: async (count) => {
      await waitUntil(() => Promise.resolve(events().length >= count ? true : undefined), { deadlineMs: 10_000, describe: () => `${events().length} of ${count} events: ${text}` });
    },
    leave: () => { leaving.abort(); },
  };
}
