import { AppError } from "#shared/contracts/errors.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

/** Of one line: what a request may have, and its name. */
const MOST_LINE_BYTES = 264 * 1024;
const NEWLINE = 10;

export interface Limits {
  readonly mostLines: number;
  readonly mostBytes: number;
}
/**
 * JSON values of a stream of lines; blank lines are left out, and the others are numbered from 1 on. Holds one line at a time.
 * Throws `invalid_json`, `invalid_unicode` or `payload_too_large`, and names the line.
 */
export async function* jsonLines(source: AsyncIterable<Uint8Array>, { mostLines, mostBytes }: Limits): AsyncGenerator<{ readonly line: number; readonly value: unknown }> {
  let pending = Buffer.alloc(0), line = 0, bytes = 0;
  const values = function* (text: Buffer): Generator<{ line: number; value: unknown }> {
    if (isBlank(text)) return;
    line += 1;
    if (line > mostLines) throw new AppError("payload_too_large", `at most ${mostLines} lines`);
    yield { line, value: parsed(text, line) };
  };
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new AppError("payload_too_large", `at most ${mostBytes / 1024 ** 2} MiB`);
    pending = Buffer.concat([pending, chunk]);
    let from = 0;
    for (let end = pending.indexOf(NEWLINE); end >= 0; end = pending.indexOf(NEWLINE, from)) {
      yield* values(pending.subarray(from, end));
      from = end + 1;
    }
    pending = pending.subarray(from);
    if (pending.length > MOST_LINE_BYTES) throw new AppError("payload_too_large", `line ${line + 1}: longer than ${MOST_LINE_BYTES / 1024} KiB`);
  }
  yield* values(pending);
}

const isBlank = (text: Buffer): boolean => text.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);

/** The parser of both doors. */
function parsed(text: Buffer, line: number): unknown {
  if (text.length > MOST_LINE_BYTES) throw new AppError("payload_too_large", `line ${line}: longer than ${MOST_LINE_BYTES / 1024} KiB`);
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof AppError) throw new AppError(error.code, `line ${line}: ${error.publicMessage}`, { cause: error });
    throw error;
  }
}
