import type { z } from "zod";

import { GatewayConfig } from "#producers/gateway/config.ts";
import { RouterConfig } from "#router/config.ts";
import { AuditSinkConfig } from "#sinks/audit/config.ts";
import { ConsoleConfig } from "#sinks/console/config.ts";
import { MetricsSinkConfig } from "#sinks/metrics/config.ts";
import { WebhookSenderConfig } from "#sinks/webhooks/config.ts";
import { WorkerConfig } from "#workers/config.ts";

/** What each role reads from the environment, beside `ProcessConfig`. */
export const ROLE_CONFIGS: Readonly<Record<string, z.ZodType>> = { gateway: GatewayConfig, router: RouterConfig, worker: WorkerConfig, "audit-sink": AuditSinkConfig, "metrics-sink": MetricsSinkConfig, "webhook-sender": WebhookSenderConfig, console: ConsoleConfig };
