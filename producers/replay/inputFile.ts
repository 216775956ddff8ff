/**
 * Inputs from a file of JSON lines, for events that did not keep theirs: `{"tenant_id","request_id","input"|"chat"|"embed"}`. Read once for
 * where each begins, and then one by one, so that a long file takes about a hundred bytes of memory for each line.
 */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";

import { z } from "zod";

import { Chat, Embed, type Input } from "#shared/contracts/chat.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import { askedBy } from "#shared/contracts/request.ts";
import { type Id, tokens } from "#shared/messaging/topology.ts";
import { byteLines, isBlankLine } from "#shared/runtime/byteLines.ts";

const Line = z.strictObject({ tenant_id: TenantId, request_id: RequestId, input: z.string().min(1).optional(), chat: Chat.optional(), embed: Embed.optional() })
  .refine(({ input, chat, embed }) => [input, chat, embed].filter((one) => one !== undefined).length === 1, "one of input, chat and embed says what is asked");

/** What the gateway takes of one input, with room for the rest of a line. */
const MOST_LINE_BYTES = 1024 ** 2;

export interface InputFile {
  readonly inputs: number;
  /** `null`: the file does not have it. */
  readonly find: (id: Id) => Promise<Input | null>;
  readonly close: () => Promise<void>;
}
/** Which line, and what is wrong with it or with the file. */
export class BadInputFile extends Error {
  override readonly name = "BadInputFile";
}

/** Of two lines of one request the first counts. Throws `BadInputFile`. */
export async function openInputFile(path: string): Promise<InputFile> {
  const file = await open(path).catch((cause: unknown) => { throw new BadInputFile(`${path} cannot be read: ${(cause as Error).message}`, { cause }); });
  try {
    const places = new Map<string, readonly [offset: number, bytes: number]>();
    let offset = 0, number = 0;
    for await (const line of byteLines(createReadStream(path), MOST_LINE_BYTES)) {
      number += 1;
      if (line.length > MOST_LINE_BYTES) throw new BadInputFile(`${path}, line ${number}: longer than ${MOST_LINE_BYTES} bytes`);
      if (!isBlankLine(line)) {
        const key = tokens(readLine(line, `${path}, line ${number}`));
        if (!places.has(key)) places.set(key, [offset, line.length]);
      }
      offset += line.length + 1;
    }
    return {
      inputs: places.size,
      async find(id) {
        const place = places.get(tokens(id));
        if (place === undefined) return null;
        const { buffer } = await file.read(Buffer.alloc(place[1]), 0, place[1], place[0]);
        return askedBy(readLine(buffer, path));
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function readLine(line: Buffer, where: string): z.infer<typeof Line> {
  let value: unknown;
  try {
    value = JSON.parse(line.toString("utf8"));
  } catch (cause) {
    throw new BadInputFile(`${where}: is no JSON`, { cause });
  }
  const read = Line.safeParse(value);
  if (!read.success) throw new BadInputFile(`${where}: ${inOneLine(issueLines(read.error))}`);
  return read.data;
}
