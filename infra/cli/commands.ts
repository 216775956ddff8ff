/** Every subcommand by its name. */
import type { Command } from "./command.ts";
import { budgets } from "./commands/budgets.ts";
import { cache } from "./commands/cache.ts";
import { down } from "./commands/down.ts";
import { evaluate } from "./commands/evaluate.ts";
import { keys } from "./commands/keys.ts";
import { localModels } from "./commands/localModels.ts";
import { logs } from "./commands/logs.ts";
import { models } from "./commands/models.ts";
import { migrate } from "./commands/migrate.ts";
import { natsUsers } from "./commands/natsUsers.ts";
import { prices } from "./commands/prices.ts";
import { reconcile } from "./commands/reconcile.ts";
import { report } from "./commands/report.ts";
import { serveRecorded } from "./commands/serveRecorded.ts";
import { statement } from "./commands/statement.ts";
import { status } from "./commands/status.ts";
import { submit } from "./commands/submit.ts";
import { tenants } from "./commands/tenants.ts";
import { topology } from "./commands/topology.ts";
import { train } from "./commands/train.ts";
import { up } from "./commands/up.ts";
import { webhooks } from "./commands/webhooks.ts";

export const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ["up", up],
  ["down", down],
  ["status", status],
  ["logs", logs],
  ["topology", topology],
  ["migrate", migrate],
  ["local-models", localModels],
  ["evaluate", evaluate],
  ["train", train],
  ["models", models],
  ["prices", prices],
  ["tenants", tenants],
  ["budgets", budgets],
  ["keys", keys],
  ["cache", cache],
  ["report", report],
  ["statement", statement],
  ["reconcile", reconcile],
  ["submit", submit],
  ["nats-users", natsUsers],
  ["webhooks", webhooks],
  ["serve-recorded", serveRecorded],
]);
