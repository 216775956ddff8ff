/** W3C trace context: `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>`. */
import { hash, randomBytes } from "node:crypto";

const FORM = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's, or `null` when it sent none or garbage. */
export const traceparentFrom = (header: unknown): string | null => (typeof header === "string" && FORM.test(header) ? header : null);
export const newTraceparent = (): string => traceparentOf(randomBytes(16).toString("hex"), newSpanId(), false);
export const newSpanId = (): string => randomBytes(8).toString("hex");
export const traceparentOf = (traceId: string, spanId: string, isTaken: boolean): string => `00-${traceId}-${spanId}-${isTaken ? "01" : "00"}`;
export const isTraceId = (text: string): boolean => /^(?!0{32})[0-9a-f]{32}$/.test(text);
export const traceIdOf = (traceparent: string): string => traceparent.slice(3, 35);
export const spanIdOf = (traceparent: string): string => traceparent.slice(36, 52);
/** Whether the spans of this trace are taken, as whoever began it decided. */
export const isSampled = (traceparent: string): boolean => (Number.parseInt(traceparent.slice(53), 16) & 1) === 1;

/**
 * Whether a trace that begins here is among the `share` (0 to 1) that are taken. Of the id's 56 random bits the upper 52, in the direction of OpenTelemetry's
 * consistent sampling, so that whoever decides by the id with a larger share takes these too.
 */
export const isInShare = (traceId: string, share: number): boolean => Number.parseInt(traceId.slice(18, 31), 16) / 2 ** 52 >= 1 - share;

/** The same for the same words, so that what is told twice is one span. */
export const spanIdFrom = (...words: readonly string[]): string => {
  const id = hash("sha256", words.join("\n")).slice(0, 16);
  return /^0+$/.test(id) ? "0000000000000001" : id;
};
