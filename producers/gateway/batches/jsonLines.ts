import { AppError } from "#shared/contracts/errors.ts";
import { byteLines, isBlankLine } from "#shared/runtime/byteLines.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

/** Of one line: what a request may have, and its name. */
const MOST_LINE_BYTES = 264 * 1024;

export interface Limits {
  readonly mostLines: number;
  readonly mostBytes: number;
}
export interface JsonLine {
  readonly line: number;
  readonly bytes: number;
  readonly value: unknown;
}
/**
 * JSON values of a stream of lines; blank lines are left out, and the others are numbered from 1 on. Holds one line at a time.
 * Throws `invalid_json`, `invalid_unicode` or `payload_too_large`, and names the line.
 */
export async function* jsonLines(source: AsyncIterable<Uint8Array>, { mostLines, mostBytes }: Limits): AsyncGenerator<JsonLine> {
  let line = 0;
  for await (const text of byteLines(bounded(source, mostBytes), MOST_LINE_BYTES)) {
    if (isBlankLine(text)) continue;
    line += 1;
    if (line > mostLines) throw new AppError("payload_too_large", `at most ${mostLines} lines`);
    yield { line, bytes: text.length, value: parsed(text, line) };
  }
}

async function* bounded(source: AsyncIterable<Uint8Array>, mostBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new AppError("payload_too_large", `at most ${mostBytes / 1024 ** 2} MiB`);
    yield chunk;
  }
}

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
