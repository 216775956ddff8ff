/** W3C trace context: `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>`. */
import { randomBytes } from "node:crypto";

const FORM = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's, or `null` when it sent none or garbage. */
export const traceparentFrom = (header: unknown): string | null => (typeof header === "string" && FORM.test(header) ? header : null);
export const newTraceparent = (): string => `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`;
export const traceIdOf = (traceparent: string): string => traceparent.slice(3, 35);
