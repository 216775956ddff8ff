/** What a case of the fault matrix is. A new one goes into a file of `cases/`; `allCases.ts` lists them. */
import type { LoadOptions, SentRequest } from "./load.ts";
import type { Key, Observed, Verdict } from "./oracle.ts";
import type { Rig, RigOptions } from "./rig.ts";

/** One run of a case, with its seed. */
export interface Trial {
  readonly rig: Rig;
  /** In [0, 1), by the seed. */
  readonly random: () => number;
  readonly note: (line: string) => void;
  /** A worker crashed or lost its lease so often: each may repeat the calls that it had in hand. */
  readonly mayRepeat: (times: number) => void;
  /** NATS has lost something of these requests that it had acknowledged, as it must here: the oracle leaves them out, and the case shows that each is detected. */
  readonly expectLost: (keys: ReadonlySet<Key>) => void;
  /** Something is not as the matrix says, beside what the oracle counts. */
  readonly violated: (what: string) => void;
  /** Something took longer than it should, which a busy machine does too. */
  readonly late: (what: string) => void;
  /** A figure of this case, as `rebuild s`. */
  readonly figure: (name: string, value: number) => void;
  /** Waits until something holds; where it does not in time, that is a violation. */
  readonly until: (what: string, deadlineMs: number, isSo: () => boolean | Promise<boolean>) => Promise<void>;
  /** Requests that the load has sent so far, as their callers see them. */
  readonly load: { readonly sent: readonly SentRequest[] };
}
export interface FaultCase {
  /** Row of the matrix, and a letter where it has several: `F3a`. */
  readonly id: string;
  readonly title: string;
  readonly isInShortForm: boolean;
  /** Whether the soak run may choose it: it must leave a system that `rig.heal` makes whole, and needs no system of its own. */
  readonly isForSoak: boolean;
  /** What it needs and this machine does not give; `null`: nothing. It is not run then, and that is said. */
  readonly lacks?: () => string | null | Promise<string | null>;
  /** Of this case alone. */
  readonly load?: Partial<LoadOptions>;
  /** Given: it has a system of its own with these options, else it shares one with other cases. */
  readonly own?: Omit<RigOptions, "random">;
  /** How long the load goes on when all is healed, in milliseconds; default 4 s. */
  readonly afterMs?: number;
  /** Longest time from healing to the first success, in milliseconds. */
  readonly recoveryMs?: number;
  /** Strikes while the load runs. Resolves when the fault is over; what is left of it `rig.heal` takes away. */
  readonly strike: (trial: Trial) => Promise<void>;
  /** More that must hold, once the system has settled. */
  readonly check?: (verdict: Verdict, trial: Trial, observed: Observed) => void | Promise<void>;
}
/** `F3a` is of row F3. */
export const rowOf = ({ id }: Pick<FaultCase, "id">): string => id.replace(/[a-z]$/, "");
