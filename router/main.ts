/** The router process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { router } from "./router.ts";

await runRole(router);
