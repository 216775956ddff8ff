import { isPortFree } from "#infra/embedded/freePort.ts";
import { ownsPort } from "#infra/embedded/portOwner.ts";
import { isRunning } from "#infra/embedded/processIdentity.ts";
import { PORT_VARIABLES, type PortVariable, type Settings } from "#infra/embedded/settings.ts";
import { readinessOf } from "#infra/embedded/startRoles.ts";
import type { State } from "#infra/embedded/stateFile.ts";
import { z } from "zod";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, problem, warning } from "../finding.ts";

export interface RoleLooked {
  readonly role: string;
  readonly url: string;
  readonly isRunning: boolean;
  /** Where its port is its own process's. */
  readonly ownsPort: boolean;
  /** `ready`, or why not. */
  readonly readiness: string;
  readonly warnings: readonly string[];
}

/** Processes that `up` has started here, their ports and what they say of themselves; or else whether their ports are free. */
export const roles: Check<Place> = {
  title: "roles",
  run: async ({ state, settings }) => (state.roles.length > 0 ? judgeRoles(await lookAtRoles(state)) : judgePorts(settings === null ? [] : await takenPorts(settings))),
};

/** A busy machine is no reason to call a role broken. */
const ANSWER_MS = 10_000;

const lookAtRoles = (state: State): Promise<RoleLooked[]> =>
  Promise.all(state.roles.flatMap(({ addresses, process: identity }) => addresses.map(async ({ role, url }) => {
    const runs = isRunning(identity);
    const readiness = runs ? await readinessOf(url, identity.pid, ANSWER_MS) : "not running";
    return { role, url, isRunning: runs, ownsPort: !runs || ownsPort(identity.pid, Number(new URL(url).port)), readiness, warnings: readiness === "ready" ? await warningsOf(url) : [] };
  })));

const Warned = z.object({ warnings: z.array(z.string()).default([]) });
const warningsOf = (url: string): Promise<readonly string[]> =>
  fetch(`${url}/readyz`, { signal: AbortSignal.timeout(ANSWER_MS) }).then(async (response) => Warned.parse(await response.json()).warnings).catch(() => []); // it was ready just before

export function judgeRoles(looked: readonly RoleLooked[]): Finding[] {
  const found = looked.flatMap(({ role, url, isRunning: runs, ownsPort: owns, readiness, warnings }): Finding[] => {
    if (!runs) return [problem(`${role} does not run`, `Read why (inferctl logs ${role}), then start it again: inferctl up`)];
    if (!owns) return [problem(`${role} does not listen at ${url}: another program does`, "End that program or set another port (docs/configuration.md), then: inferctl up")];
    if (readiness !== "ready") return [problem(`${role} is not ready: ${readiness}`, `Read inferctl logs ${role}; docs/operations.md says what each reason means.`)];
    return warnings.map((one) => warning(`${role} warns: ${one}`, "See docs/security.md and docs/operations.md."));
  });
  const ready = looked.filter(({ readiness }) => readiness === "ready").length;
  return ready === 0 ? found : [ok(`${ready} of ${looked.length} are ready`), ...found];
}

export interface TakenPort { readonly variable: PortVariable; readonly port: number; readonly isChosen: boolean }
async function takenPorts({ ports, chosenPorts }: Pick<Settings, "ports" | "chosenPorts">): Promise<TakenPort[]> {
  const looked = await Promise.all(PORT_VARIABLES.map(async (variable) => ({ variable, port: ports[variable], isChosen: chosenPorts.has(variable), isFree: ports[variable] === 0 || (await isPortFree(ports[variable])) })));
  return looked.filter(({ isFree }) => !isFree);
}

export const judgePorts = (taken: readonly TakenPort[]): Finding[] => [
  warning("nothing was started here", "Start it with: inferctl up. Roles that run elsewhere say at their /readyz what they lack."),
  ...taken.map(({ variable, port, isChosen }) => (isChosen
    ? problem(`port ${port} is taken by another program, and ${variable} asks for it`, `End what listens there, or set ${variable} to another port.`)
    : warning(`port ${port} is taken by another program`, `inferctl up will take another one; ${variable} sets it.`))),
];
