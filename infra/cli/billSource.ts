/** Where a bill comes from: a file, or the recorded server's `GET /bill`. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import { z } from "zod";

import { SetupError } from "#infra/embedded/setupError.ts";
import { type BilledDay, BadBill, readBill, sumBill } from "#shared/reconcile/bill.ts";
import { attoOfNano } from "#shared/reconcile/exactAmount.ts";

import { EXIT_UNAVAILABLE, EXIT_USAGE } from "./command.ts";

const FORM = "A bill is CSV or JSON lines with date, model and cost_usd: docs/reconcile.md";
const refused = (name: string, message: string, cause?: unknown) => new SetupError(`the bill ${name} cannot be used: ${message}`, FORM, { exitCode: EXIT_USAGE, cause });

/** Throws a `SetupError` with the line that is wrong. */
export const readBillFrom = (name: string): Promise<BilledDay[]> => (/^https?:\/\//.test(name) ? ofRecordedServer(name) : ofFile(name));

async function ofFile(name: string): Promise<BilledDay[]> {
  const input = createReadStream(name, { encoding: "utf8" });
  try {
    // A file that cannot be opened ends no lines, so its error is waited for beside them.
    const broken = new Promise<never>((_resolve, reject) => { input.once("error", reject); });
    return await Promise.race([broken, sumBill(readBill(createInterface({ input, crlfDelay: Infinity })))]);
  } catch (error) {
    if (error instanceof BadBill || (error instanceof Error && "code" in error)) throw refused(name, error.message, error);
    throw error;
  } finally {
    input.destroy();
  }
}

const Calls = z.object({ calls: z.array(z.object({ model: z.string(), cost_nano_usd: z.int().nonnegative(), started_at_ms: z.int() })), calls_dropped: z.int() });

async function ofRecordedServer(name: string): Promise<BilledDay[]> {
  const url = new URL(name);
  url.searchParams.set("calls", "true");
  const reply: unknown = await fetch(url, { signal: AbortSignal.timeout(10_000) }).then((response) => response.json()).catch((error: unknown) => {
    throw new SetupError(`the bill ${name} cannot be read: ${String(error)}`, "Does inferctl serve-recorded run there?", { exitCode: EXIT_UNAVAILABLE, cause: error });
  });
  const { data } = Calls.safeParse(reply);
  if (data === undefined) throw refused(name, "it is none of `inferctl serve-recorded`");
  if (data.calls_dropped > 0) throw refused(name, `it no longer says of which days its first ${data.calls_dropped} calls were`);
  return sumBill(data.calls.map(({ model, cost_nano_usd, started_at_ms }) => ({ day: new Date(started_at_ms).toISOString().slice(0, 10), model, costAtto: attoOfNano(cost_nano_usd) })));
}
