/** How a failpoint is named in INFER_FAILPOINT. */
export const FAILPOINTS = [
  // Router: around the job that a decision leads to, what a worker sent back, the reservation, and an outcome of its own.
  "before_job_publish", "after_job_publish", "after_result_received", "after_ledger_call", "after_completion",
  // Worker: around the call of the model, and around what it publishes of it.
  "before_call", "during_call", "after_call", "after_result_publish",
  // Sinks: around the transaction, and between its statements.
  "before_commit", "after_commit", "in_batch",
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];
export interface Failpoint {
  readonly name: FailpointName;
  /** Which time that it is passed, from 1. */
  readonly pass: number;
  /** How long the event loop is blocked; `null`: the process kills itself. */
  readonly blockMs: number | null;
}

const TEXT = /^(?<name>[a-z_]+)(?::(?<pass>[1-9]\d{0,6}))?(?:,block_loop:(?<blockMs>[1-9]\d{0,6}))?$/;

/** `after_job_publish`, `after_job_publish:17` (the 17th time), `after_job_publish:17,block_loop:20000` (hangs 20 s instead of dying). `null`: it is none. */
export function parseFailpoint(text: string): Failpoint | null {
  const { name, pass = "1", blockMs } = TEXT.exec(text)?.groups ?? {};
  const known = FAILPOINTS.find((one) => one === name);
  return known === undefined ? null : { name: known, pass: Number(pass), blockMs: blockMs === undefined ? null : Number(blockMs) };
}
