import type { ReplayMode } from "./replayMode.ts";

/** Every mode of `inferctl replay`, in the order of its help. */
export const REPLAY_MODES: readonly ReplayMode[] = [];
