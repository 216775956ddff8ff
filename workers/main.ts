/** The worker process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { worker } from "./worker.ts";

await runRole(worker);
