import { liveMode } from "./liveMode.ts";
import type { ReplayMode } from "./replayMode.ts";
import { shadowMode } from "./shadowMode.ts";
import { verifyMode } from "./verifyMode.ts";
import { whatIfMode } from "./whatIfMode.ts";

/** Every mode of `inferctl replay`, in the order of its help. */
export const REPLAY_MODES: readonly ReplayMode[] = [verifyMode, whatIfMode, shadowMode, liveMode];
