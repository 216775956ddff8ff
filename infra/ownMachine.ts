import { lookup } from "node:dns";

import type { Reach } from "#shared/reach/guardedAgent.ts";
import { allowanceOf } from "#shared/reach/target.ts";

/** Of a set-up without keys: public servers, and this machine's own. */
export const OWN_MACHINE: Reach = { allowance: allowanceOf("", { isKeyless: true }), lookup };
