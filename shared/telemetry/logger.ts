import { type DestinationStream, type Logger, pino } from "pino";

import { errorFields, logFields } from "./logFields.ts";
import { scrubSecrets } from "./scrubSecrets.ts";

/** JSON lines on stdout, of what `logFields` lets through; what looks like a secret is taken out of each line. */
export const makeLogger = (service: string, level: string, destination: DestinationStream = pino.destination({ fd: 1, sync: true })): Logger =>
  pino({
    level, base: { service, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => errorFields(error) },
    formatters: { level: (label) => ({ level: label }), log: logFields },
    hooks: { streamWrite: scrubSecrets },
  }, destination);
