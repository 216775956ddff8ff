/** Why a running process is ended and started again. Pure. */
import { ENVIRONMENT } from "#shared/runtime/environment.ts";

import type { PlannedProcess } from "./roles.ts";
import type { RoleProcess } from "./stateFile.ts";

export interface Now {
  readonly plans: readonly Pick<PlannedProcess, "name">[];
  /** Of each planned process, by name. */
  readonly fingerprints: ReadonlyMap<string, string>;
  /** As `RoleProcess.startedWith`. */
  readonly startedWith: Readonly<Record<string, string>>;
}

/** Each reason once, of all of them. What changed is named; what it was and is, is not: it may be a secret. */
export function reasonsToRestart(outdated: readonly RoleProcess[], now: Now): string[] {
  return [...new Set(outdated.flatMap((role) => reasonsOf(role, now)))];
}

/** Why a NATS server that runs has to be started again; `null` when it has not. */
export function reasonToRestartNats(asks: boolean, shallAsk: boolean): string | null {
  if (asks === shallAsk) return null;
  return shallAsk ? "INFER_AUTH is keys, so NATS asks for users from now on" : "INFER_AUTH is no longer keys, so NATS is open from now on, to this machine";
}

/** Settings that the processes were started with and that are not set any more: their defaults count. */
export function forgottenSettings(outdated: readonly RoleProcess[], { startedWith }: Pick<Now, "startedWith">): string[] {
  return [...new Set(outdated.flatMap((role) => Object.keys(role.startedWith).filter((name) => name in ENVIRONMENT && !(name in startedWith))))].sort();
}

function reasonsOf({ name, fingerprint, startedWith }: RoleProcess, now: Now): string[] {
  if (!now.plans.some((plan) => plan.name === name)) return ["not part of this set-up"];
  if (now.fingerprints.get(name) === fingerprint) return ["not ready"];
  const before = startedWith;
  const names = [...new Set([...Object.keys(before), ...Object.keys(now.startedWith)])].filter((one) => before[one] !== now.startedWith[one]).sort();
  // A note of an older version says nothing about it.
  if (names.length === 0 || Object.keys(before).length === 0) return ["other build or settings"];
  return names.map((one) => {
    if (one in now.startedWith) return `${one} ${one in before ? "changed" : "was set"}`;
    return `${one} is no longer ${one in ENVIRONMENT ? "set" : "used"}`; // the key of a tier that is gone may well be set
  });
}
