import { type Logger, pino } from "pino";

import { AppError } from "#shared/contracts/errors.ts";

/**
 * JSON lines on stdout. Allow-list by construction: callers log ids and codes, never bodies; of an error only type,
 * code, message and stack come out, so nothing that hangs on it (a response, a row, a header) can leak.
 */
export const makeLogger = (service: string, level: string): Logger =>
  pino({ level, base: { service, pid: process.pid }, serializers: { err: errorFields }, formatters: { level: (label) => ({ level: label }) }, timestamp: pino.stdTimeFunctions.isoTime });

function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const cause = error.cause instanceof Error ? { cause: `${error.cause.name}: ${error.cause.message}` } : {};
  return { type: error.name, ...(error instanceof AppError ? { code: error.code } : {}), message: error.message, stack: error.stack, ...cause };
}
