import { type DestinationStream, type Logger, pino } from "pino";

import { errorFields, logFields } from "./logFields.ts";
import { scrubSecrets } from "./scrubSecrets.ts";

/**
 * Each line is written at once. One that cannot be, as on a full disk, is left out: pino's own destination would end the process with that error, and one
 * whose errors are only listened to would keep all that follows in memory.
 */
function linesOn(fd: number): DestinationStream {
  let open: ReturnType<typeof pino.destination> | null = null;
  let isCut = false;
  const begin = () => {
    const destination = pino.destination({ fd, sync: true });
    destination.on("error", () => {
      open = null;
      isCut = true;
    });
    return destination;
  };
  return {
    write(line) {
      const text = isCut ? `\n${line}` : line; // part of the one that failed may be there
      isCut = false;
      (open ??= begin()).write(text);
    },
  };
}

/** JSON lines on stdout, of what `logFields` lets through; what looks like a secret is taken out of each line. */
export const makeLogger = (service: string, level: string, destination: DestinationStream = linesOn(1)): Logger =>
  pino({
    level, base: { service, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => errorFields(error) },
    formatters: { level: (label) => ({ level: label }), log: logFields },
    hooks: { streamWrite: scrubSecrets },
  }, destination);
