import { parse } from "secure-json-parse";

import { AppError } from "#shared/contracts/errors.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true }); // a byte order mark is skipped

/** Of one object. What is asked has far fewer; a conversation may bring JSON schemas, in which OpenAI takes 5,000 properties together. */
export const MOST_MEMBERS = 5_000;
/** Of a member: `"":0,`. Shorter bodies hold no object that is too large, and are not looked at. */
const LEAST_MEMBER_BYTES = 5;

/**
 * The one JSON parser of both doors. Throws `invalid_unicode` for bytes that are not UTF-8, `invalid_json` for what
 * is not JSON or names `__proto__` or `constructor.prototype` as a key, and `invalid_request`, before it is parsed, for an object
 * of more than 5,000 members. Of duplicate keys the last one wins.
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length > MOST_MEMBERS * LEAST_MEMBER_BYTES && hasLargeObject(bytes)) throw new AppError("invalid_request", `an object in the body has more than ${MOST_MEMBERS} members`);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new AppError("invalid_unicode", "the body is not valid UTF-8");
  }
  try {
    return (isHarmless(text) ? JSON.parse(text) : parse(text, null, { protoAction: "error", constructorAction: "error" })) as unknown;
  } catch {
    throw new AppError("invalid_json", text === "" ? "the body is empty" : "the body is not valid JSON");
  }
}

const PROTOTYPE = /__proto__|constructor/;
const BYTE_ORDER_MARK = "\ufeff";
/** Neither says a word that the parser refuses as a key nor has an escape that could hide one, nor a second mark. The parser's own search takes several times as long. */
const isHarmless = (text: string): boolean => !text.includes("\\u") && !PROTOTYPE.test(text) && !text.startsWith(BYTE_ORDER_MARK);

const [QUOTE, BACKSLASH, COLON, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from('"\\:[]{}') as unknown as readonly [number, number, number, number, number, number, number];
/** Counts colons outside of texts, each of them a member. Of what is no JSON it may say anything: the parser refuses that. */
function hasLargeObject(bytes: Uint8Array): boolean {
  const members: number[] = []; // of the objects and arrays around a place
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) i = endOfText(bytes, i);
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) members.push(0);
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) members.pop();
    else if (byte === COLON) {
      const count = (members.pop() ?? 0) + 1;
      if (count > MOST_MEMBERS) return true;
      members.push(count);
    }
  }
  return false;
}
/** `start`: of its opening quote. */
function endOfText(bytes: Uint8Array, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let escapes = 0;
    while (bytes[end - 1 - escapes] === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return bytes.length;
}
