/** The console process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { consoleSink } from "./consoleSink.ts";

await runRole(consoleSink);
