import { parse } from "secure-json-parse";

import { AppError } from "#shared/contracts/errors.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true }); // a byte order mark is skipped

/**
 * The one JSON parser of both doors. Throws `invalid_unicode` for bytes that are not UTF-8 and `invalid_json` for what
 * is not JSON or names `__proto__` or `constructor.prototype` as a key. Of duplicate keys the last one wins.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new AppError("invalid_unicode", "the body is not valid UTF-8");
  }
  try {
    return parse(text, null, { protoAction: "error", constructorAction: "error" }) as unknown;
  } catch {
    throw new AppError("invalid_json", text === "" ? "the body is empty" : "the body is not valid JSON");
  }
}
