/** The webhook sender process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { webhookSender } from "./webhookSender.ts";

await runRole(webhookSender);
