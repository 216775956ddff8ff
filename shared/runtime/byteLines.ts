const NEWLINE = 10;

/**
 * Lines of a stream of bytes, cut at "\n" alone: no other separator of Unicode ends a line of JSON. Holds one line at a time; one that
 * gets longer than `mostLineBytes` is given as far as it was read, and nothing after it.
 */
export async function* byteLines(source: AsyncIterable<Uint8Array>, mostLineBytes: number): AsyncGenerator<Buffer> {
  let pending = Buffer.alloc(0);
  for await (const chunk of source) {
    pending = Buffer.concat([pending, chunk]);
    let from = 0;
    for (let end = pending.indexOf(NEWLINE); end >= 0; end = pending.indexOf(NEWLINE, from)) {
      yield pending.subarray(from, end);
      from = end + 1;
    }
    pending = pending.subarray(from);
    if (pending.length > mostLineBytes) break;
  }
  yield pending;
}

/** Nothing, or white space of JSON alone: such a line has no number. */
export const isBlankLine = (line: Uint8Array): boolean => line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
