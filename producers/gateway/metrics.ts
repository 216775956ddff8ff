import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { FastifyInstance } from "fastify";

import type { Outcome } from "#shared/contracts/events.ts";

const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export interface BatchMetrics {
  readonly lineEnded: (outcome: Outcome) => void;
  /** Lines that may run at once. */
  readonly window: (lines: number) => void;
}
export function makeBatchMetrics(registry: Registry): BatchMetrics {
  const registers = [registry];
  const lines = new Counter({ name: "infer_batch_lines_total", help: "Lines of batches that have ended, by outcome.", labelNames: ["outcome"], registers });
  const window = new Gauge({ name: "infer_batch_window_lines", help: "Lines of batches that this gateway runs at once at most: fewer where they would have to wait for what others use.", registers });
  return { lineEnded: (outcome) => { lines.inc({ outcome }); }, window: (most) => { window.set(most); } };
}

/** From now on those of this server are counted too. */
export type CountRequests = (app: FastifyInstance) => void;

/** Rate, errors and duration by route. An unknown path is `unmatched`, so no caller can make series. */
export function makeCountRequests(registry: Registry, waiting: () => number): CountRequests {
  const registers = [registry];
  const requests = new Counter({ name: "infer_http_requests_total", help: "HTTP requests by route and status.", labelNames: ["route", "status"], registers });
  const duration = new Histogram({ name: "infer_http_request_duration_seconds", help: "Time to answer, by route.", labelNames: ["route"], buckets: BUCKETS_S, registers });
  new Gauge({ name: "infer_gateway_waiting_requests", help: "HTTP requests that wait for their outcome.", registers, collect() { this.set(waiting()); } });
  return (app) => {
    app.addHook("onResponse", (request, reply, done) => {
      const route = request.routeOptions.url ?? "unmatched";
      requests.inc({ route, status: String(reply.statusCode) });
      duration.observe({ route }, reply.elapsedTime / 1_000);
      done();
    });
  };
}
