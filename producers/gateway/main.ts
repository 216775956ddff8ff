/** The gateway process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { gateway } from "./gateway.ts";

await runRole(gateway);
