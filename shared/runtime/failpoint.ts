/**
 * Places in the code at which a test makes a process die, or hang, so that a crash between two steps can be had on demand. Without
 * INFER_FAILPOINT a place costs one comparison. Whoever runs the service for others cannot have it on: it is refused with INFER_AUTH=keys.
 */
import { z } from "zod";

import { ENVIRONMENT } from "./environment.ts";
import { type Failpoint, type FailpointName, parseFailpoint } from "./failpointText.ts";

export const FailpointConfig = z.object({ INFER_FAILPOINT: ENVIRONMENT.INFER_FAILPOINT, INFER_AUTH: ENVIRONMENT.INFER_AUTH })
  .refine(({ INFER_FAILPOINT, INFER_AUTH }) => INFER_FAILPOINT === undefined || INFER_AUTH !== "keys", { path: ["INFER_FAILPOINT"], message: "is for tests: it kills this process, and is refused where INFER_AUTH is keys" });

let armed: (Failpoint & { passesLeft: number }) | null = null;

/** Of this process. `undefined`: none. */
export function armFailpoint(text: string | undefined): void {
  const found = text === undefined ? null : parseFailpoint(text);
  armed = found === null ? null : { ...found, passesLeft: found.pass };
}

/** At its pass this process ends as by a crash, or hangs once. */
export function failpoint(name: FailpointName): void {
  if (armed?.name !== name) return;
  armed.passesLeft -= 1;
  if (armed.passesLeft > 0) return;
  const { blockMs } = armed;
  armed = null;
  if (blockMs === null) process.kill(process.pid, "SIGKILL");
  else blockLoop(blockMs);
}

/** The same a while after something was begun. */
export function failpointAfter(name: FailpointName, afterMs: number): void {
  if (armed?.name === name) setTimeout(() => { failpoint(name); }, afterMs);
}

function blockLoop(ms: number): void {
  for (const endMs = performance.now() + ms; performance.now() < endMs; );
}
