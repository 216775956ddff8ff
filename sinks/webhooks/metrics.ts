import { Counter, Gauge, Histogram, type Registry } from "prom-client";

export function makeWebhookMetrics(registry: Registry) {
  const registers = [registry];
  return {
    tries: new Counter({ name: "infer_webhook_tries_total", help: "Tries by what came of them.", labelNames: ["result"], registers }),
    dead: new Counter({ name: "infer_webhook_dead_total", help: "Webhooks given up on: after all tries, because the endpoint answered 410, or because it is disabled or removed.", labelNames: ["reason"], registers }),
    duration: new Histogram({ name: "infer_webhook_try_duration_seconds", help: "Time of one try.", buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], registers }),
    underWay: new Gauge({ name: "infer_webhook_tries_in_flight", help: "Tries under way.", registers }),
    oldestDue: new Gauge({ name: "infer_webhook_oldest_due_seconds", help: "How long the webhook waits that is due for longest.", registers }),
  };
}
export type WebhookMetrics = ReturnType<typeof makeWebhookMetrics>;
