/** Every subcommand by its name, read when somebody asks for it: none waits for what another needs. */
import type { Command } from "./command.ts";

export const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["up", async () => (await import("./commands/up.ts")).up],
  ["down", async () => (await import("./commands/down.ts")).down],
  ["status", async () => (await import("./commands/status.ts")).status],
  ["logs", async () => (await import("./commands/logs.ts")).logs],
  ["topology", async () => (await import("./commands/topology.ts")).topology],
  ["migrate", async () => (await import("./commands/migrate.ts")).migrate],
  ["local-models", async () => (await import("./commands/localModels.ts")).localModels],
  ["evaluate", async () => (await import("./commands/evaluate.ts")).evaluate],
  ["train", async () => (await import("./commands/train.ts")).train],
  ["models", async () => (await import("./commands/models.ts")).models],
  ["prices", async () => (await import("./commands/prices.ts")).prices],
  ["tenants", async () => (await import("./commands/tenants.ts")).tenants],
  ["budgets", async () => (await import("./commands/budgets.ts")).budgets],
  ["keys", async () => (await import("./commands/keys.ts")).keys],
  ["cache", async () => (await import("./commands/cache.ts")).cache],
  ["report", async () => (await import("./commands/report.ts")).report],
  ["statement", async () => (await import("./commands/statement.ts")).statement],
  ["reconcile", async () => (await import("./commands/reconcile.ts")).reconcile],
  ["submit", async () => (await import("./commands/submit.ts")).submit],
  ["nats-users", async () => (await import("./commands/natsUsers.ts")).natsUsers],
  ["logins", async () => (await import("./commands/logins.ts")).logins],
  ["webhooks", async () => (await import("./commands/webhooks.ts")).webhooks],
  ["dlq", async () => (await import("./commands/dlq.ts")).dlq],
  ["serve-recorded", async () => (await import("./commands/serveRecorded.ts")).serveRecorded],
]);
