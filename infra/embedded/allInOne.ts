/** Every role in one process, one worker per tier: for laptops. The roles' code is the same. */
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { loadConfig, loadTierFile } from "#shared/runtime/loadConfig.ts";
import { type Role, type RoleContext, runRolesTogether } from "#shared/runtime/runRole.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { consoleSink } from "#sinks/console/consoleSink.ts";
import { metricsSink } from "#sinks/metrics/metricsSink.ts";
import { webhookSender } from "#sinks/webhooks/webhookSender.ts";
import { WorkerConfig } from "#workers/config.ts";
import { worker } from "#workers/worker.ts";

function prepared<C>({ name, config, start }: Role<C>) {
  const values = loadConfig(config);
  return { name, start: (context: RoleContext) => start(values, context) };
}

const workerConfig = loadConfig(WorkerConfig);
const workers = servedBy(loadTierFile(workerConfig)).map(({ name }) => ({
  name: `worker-${name}`,
  start: (context: RoleContext) => worker.start({ ...workerConfig, tierName: name }, context),
}));
await runRolesTogether([prepared(router), ...workers, prepared(auditSink), prepared(metricsSink), prepared(webhookSender), prepared(consoleSink), prepared(gateway)]);
