/** An OTLP endpoint over HTTP that keeps what it gets. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { z } from "zod";

const Value = z.object({ stringValue: z.string(), intValue: z.union([z.string(), z.number()]), doubleValue: z.number(), boolValue: z.boolean(), arrayValue: z.unknown() }).partial();
const Attributes = z.array(z.object({ key: z.string(), value: Value })).default([]).transform((all) =>
  Object.fromEntries(all.map(({ key, value }) => [key, value.stringValue ?? (value.intValue === undefined ? undefined : Number(value.intValue)) ?? value.doubleValue ?? value.boolValue ?? value.arrayValue])));
const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] as const;
const STATUS_ERROR = 2;
const atMs = z.string().regex(/^\d+$/).transform((nanos) => Number(BigInt(nanos) / 1_000n) / 1_000);
const Span = z.object({
  traceId: z.string().regex(/^[0-9a-f]{32}$/), spanId: z.string().regex(/^[0-9a-f]{16}$/), parentSpanId: z.string().default(""), name: z.string(),
  kind: z.int().transform((kind) => KINDS[kind] ?? "UNSPECIFIED"), startTimeUnixNano: atMs, endTimeUnixNano: atMs, attributes: Attributes,
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })).default([]), status: z.object({ code: z.int().default(0) }),
});
const Export = z.object({ resourceSpans: z.array(z.object({ resource: z.object({ attributes: Attributes }), scopeSpans: z.array(z.object({ spans: z.array(Span) })) })) });

export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly kind: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: none. */
  readonly parentSpanId: string;
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
}
export interface SpanReceiver {
  readonly url: string;
  readonly spansOf: (traceId: string) => readonly ReceivedSpan[];
  readonly spans: () => readonly ReceivedSpan[];
  /** Every byte that was sent, for what must not be in it. */
  readonly received: () => string;
  /** With this status from now on. Only with 200 it keeps what it gets. */
  readonly answer: (status: number) => void;
  readonly close: () => Promise<void>;
}

export async function startSpanReceiver(): Promise<SpanReceiver> {
  const spans: ReceivedSpan[] = [];
  let all = "", status = 200;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      response.statusCode = request.url === "/v1/traces" ? status : 404;
      const text = Buffer.concat(chunks).toString();
      if (response.statusCode === 200) {
        all += text;
        spans.push(...spansIn(text));
      }
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spansOf: (traceId) => spans.filter((span) => span.traceId === traceId),
    spans: () => spans,
    received: () => all,
    answer(next) { status = next; },
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

function spansIn(text: string): ReceivedSpan[] {
  return Export.parse(JSON.parse(text)).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(resource.attributes["service.name"]);
    return scopeSpans.flatMap(({ spans }) => spans.map(({ startTimeUnixNano: startedAtMs, endTimeUnixNano: endedAtMs, status, ...span }) => ({ ...span, service, startedAtMs, endedAtMs, isError: status.code === STATUS_ERROR })));
  });
}
