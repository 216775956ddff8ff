/** Whether a budget lasts to the end of its window as money goes now. */
import { formatShare } from "./format.ts";

/** Windows are named as the API names them: `2026-11` or `2026-11-29`. */
export const windowKind = (window: string): "day" | "month" => (/^\d{4}-\d\d$/.test(window) ? "month" : "day");

interface Spending {
  readonly spent_usd: number | null;
  readonly limit_usd: number;
  /** Share of the window that has passed. */
  readonly elapsed: number;
}
export interface Pace {
  readonly share: number | null;
  readonly tone: "good" | "warn" | "bad" | "";
  readonly words: string;
}

/** Too little has passed below this to say more. */
const LEAST_ELAPSED = 0.02;

export function paceOf({ spent_usd, limit_usd, elapsed }: Spending): Pace {
  if (spent_usd === null) return { share: null, tone: "", words: "not known while Redis is away" };
  const share = spent_usd / limit_usd;
  const words = `${formatShare(share)} spent, ${formatShare(elapsed)} of the time passed`;
  if (share >= 1) return { share, tone: "bad", words: `used up, ${formatShare(elapsed)} of the time passed` };
  if (elapsed < LEAST_ELAPSED || share <= elapsed) return { share, tone: "good", words };
  return { share, tone: "warn", words: `${words}: at this pace it ends early` };
}
