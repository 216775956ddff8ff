/** Values of the bucket of models: JSON, plain or gzip, since a person may have put one there. */
import { gunzipSync, gzipSync } from "node:zlib";

/** Far above any model or tier file, far below what would hurt a router. */
const MOST_JSON_BYTES = 64 * 1024 ** 2;

export const packedJson = (value: unknown): Uint8Array => gzipSync(JSON.stringify(value));

/** Throws what `gunzip` and `JSON.parse` throw. */
export const unpackedJson = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(isGzip(bytes) ? gunzipSync(bytes, { maxOutputLength: MOST_JSON_BYTES }) : bytes));

const isGzip = ([first, second]: Uint8Array): boolean => first === 0x1f && second === 0x8b;
