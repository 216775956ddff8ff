/** The metrics sink process. */
import { runRole } from "#shared/runtime/runRole.ts";

import { metricsSink } from "./metricsSink.ts";

await runRole(metricsSink);
