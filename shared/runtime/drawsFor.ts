/** What stands in for chance. Pure, so that a redelivery and every process draw alike. */
import { hash } from "node:crypto";

import { type Id, tokens } from "#shared/messaging/topology.ts";

const DRAW_BYTES = 6; // 48 bits, exact in a double

/** Two numbers, each evenly in [0, 1) over all ids, whatever their pattern, and independent of each other, of another purpose's and of another step's. */
export function drawsFor(purpose: "shadow" | "explore" | "cache-audit" | "random" | "what-if", id: Id, step?: number): readonly [number, number] {
  const digest = hash("sha256", `${purpose}.${tokens(id)}${step === undefined ? "" : `.${step}`}`, "buffer");
  const drawAt = (byte: number) => digest.readUIntBE(byte, DRAW_BYTES) / 2 ** (8 * DRAW_BYTES);
  return [drawAt(0), drawAt(DRAW_BYTES)];
}
