/** The audit sink process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { auditSink } from "./auditSink.ts";

await runRole(auditSink);
