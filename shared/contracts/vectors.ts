/** Vectors as messages carry them: 32-bit floats, little-endian, in base64, as OpenAI's API has them. */
const BYTES_PER_NUMBER = 4;

/** Of all vectors of one request, as base64. The message that carries them beside their record must stay below NATS's `max_payload` of 1 MiB. */
export const MAX_VECTORS_BYTES = 640 * 1024;

const QUOTES_AND_COMMA = 3;
/** How many vectors of so many dimensions one request may ask for: some even of the most that a schema allows. */
export const mostVectors = (dimensions: number): number => Math.floor(MAX_VECTORS_BYTES / (4 * Math.ceil((dimensions * BYTES_PER_NUMBER) / 3) + QUOTES_AND_COMMA));

/** Numbers beyond 32 bits are rounded to the nearest that has them. */
export function encodeVector(numbers: readonly number[]): string {
  const bytes = Buffer.alloc(numbers.length * BYTES_PER_NUMBER);
  numbers.forEach((number, i) => bytes.writeFloatLE(number, i * BYTES_PER_NUMBER));
  return bytes.toString("base64");
}

/** `null`: no whole number of floats, or one that is not finite. */
export function decodeVector(base64: string): number[] | null {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length === 0 || bytes.length % BYTES_PER_NUMBER !== 0) return null;
  const numbers = Array.from({ length: bytes.length / BYTES_PER_NUMBER }, (_, i) => bytes.readFloatLE(i * BYTES_PER_NUMBER));
  return numbers.every(Number.isFinite) ? numbers : null;
}
