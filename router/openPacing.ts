/** What a router needs to pace budgets: the audit, the ledger's balances, and figures of what it does. */
import { Counter, Histogram, type Registry } from "prom-client";
import type { Pool } from "pg";
import type { Logger } from "pino";

import type { Ledger } from "#shared/ledger/ledger.ts";

import { makePacing, type Pacing } from "./pacing.ts";
import { makeReadPace } from "./readPace.ts";

export interface OpenPacingOptions {
  readonly pool: Pool;
  readonly balanceOf: Ledger["balanceOf"];
  readonly registry: Registry;
  readonly log: Logger;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export function openPacing({ pool, balanceOf, registry, log, now }: OpenPacingOptions): Pacing {
  const registers = [registry];
  const lambdas = new Histogram({ name: "infer_pacing_lambda", help: "What a dollar had to buy (1/USD) in decisions of tenants whose budgets are paced, by window of the tightest budget.", labelNames: ["window"], buckets: [0, 1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000], registers });
  const unread = new Counter({ name: "infer_pacing_unread_total", help: "Times that what a paced budget goes by could not be read; what was known before stands in.", registers });
  return makePacing({
    read: makeReadPace({ pool, balanceOf }),
    observe: {
      lambda: ({ lambda_per_usd, window }) => { lambdas.observe({ window }, lambda_per_usd); },
      unread(error) {
        unread.inc();
        log.debug({ err: error }, "what a paced budget goes by cannot be read now");
      },
    },
    now,
  });
}
