import type { Trial } from "./faultCase.ts";

/** Lets a fault last until so many more requests have been sent. */
export async function during({ load, until }: Pick<Trial, "load" | "until">, requests: number): Promise<void> {
  const from = load.sent.length;
  await until("the load does not go on", 120_000, () => load.sent.length >= from + requests);
}
