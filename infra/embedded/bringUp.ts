/**
 * `up`: servers, database, topology, migrations, models, roles, in this order, until everything answers. Every process is
 * noted in the state file as soon as it exists. What runs already and is up to date is left alone, so a second `up` is
 * harmless, and one after a crash starts just what is missing.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { loginsHash, ownLogins, postgresPasswords, type ServerLogins, withLogins } from "#infra/logins/ownLogins.ts";
import { auditUsers } from "#infra/nats/auditUsers.ts";
import { userFilesIn } from "#infra/nats/natsUsers.ts";
import { ownUsers, reloadUsers, tierNames, usersOf } from "#infra/nats/ownUsers.ts";
import { readUsers } from "#infra/nats/userList.ts";
import { replicasOf, servedBy, type TierFile } from "#shared/contracts/tiers.ts";
import { natsAdvisory } from "#shared/messaging/natsAdvisory.ts";
import { roleUsers } from "#shared/messaging/permissions.ts";

import { choosePorts, type MovedPort, movedPorts } from "./choosePorts.ts";
import type { Environment, Home } from "./homeFolder.ts";
import { withHomeLock } from "./homeLock.ts";
import { withOwnSecret, withOwnSnapshotKeys } from "./ownSecret.ts";
import { loginUrl } from "./loginUrl.ts";
import { natsLogin } from "./natsLogin.ts";
import type { PrepareSteps } from "./prepare.ts";
import { probeServer } from "./probeServer.ts";
import { endProcess, isRunning } from "./processIdentity.ts";
import type { Progress } from "./progress.ts";
import { planProcesses, type PlannedProcess, type Ports, roleEnvironment, withSeeds, withSnapshotKeys } from "./roles.ts";
import type { ServerInfo } from "./serverInfo.ts";
import { SERVICE_NAMES, SERVICES } from "./services.ts";
import { PORT_VARIABLES, readRoleSettings, type Settings } from "./settings.ts";
import { awaitReady, requireProgram, startRole } from "./startRoles.ts";
import type { NatsUsers } from "./startNats.ts";
import { startServers, urlsOf } from "./startServers.ts";
import { readState, type RoleProcess, type State, withRole, withServer, writeState } from "./stateFile.ts";
import { locateAll } from "./thisMachine.ts";
import { forgottenSettings, type Now, reasonsToRestart, reasonToRestartNats } from "./whyRestarted.ts";

export interface UpOptions {
  readonly home: Home;
  readonly environment: Environment;
  readonly isSingleProcess: boolean;
  readonly prepare: PrepareSteps;
  readonly progress: Progress;
  /** Where the bundles are, if not in the project. */
  readonly dist?: string | undefined;
  /** `free` is for tests, which must not take the ports of whatever else runs here. */
  readonly serverPorts?: "documented" | "free" | undefined;
  readonly readyDeadlineMs?: number | undefined;
}

export interface UpResult {
  readonly servers: readonly ServerInfo[];
  readonly roles: readonly RoleProcess[];
  readonly moved: readonly MovedPort[];
  /** False when everything ran already. */
  readonly hasStartedSomething: boolean;
}

const READY_DEADLINE_MS = 60_000;
/** They differ between `make up` and `npx inferctl up`, and no role depends on them: no reason to start it again. */
const OF_THE_SHELL: ReadonlySet<string> = new Set(["PATH", "HOME", "LANG", "TZ"]);

/** Throws a `SetupError`; what did start stays, noted, for the next `up` or for `down`. */
export async function bringUp(given: UpOptions): Promise<UpResult> {
  const { home, progress } = given;
  const options = { ...given, environment: withOwnSnapshotKeys(withOwnSecret(given.environment, home, { makes: true }), home) };
  const settings = readRoleSettings(options.environment, home);
  return withHomeLock(home.root, progress.note, async () => {
    const notebook = openNotebook(home.stateFile);
    const newServers = await ensureServers(options, settings, notebook);
    await runPreparation(options, settings, notebook.state().servers);
    const { started: newRoles, ports } = await ensureRoles(options, settings, notebook);
    const { servers, roles } = inOrder(notebook.state(), settings);
    notebook.change(() => ({ version: 1, servers: [...servers], roles: [...roles] }));
    return { servers, roles, moved: movedPorts(settings, ports), hasStartedSomething: newServers + newRoles > 0 };
  });
}

/** As documented, not as they happened to be started. */
function inOrder({ servers, roles }: State, settings: Settings): State {
  const names = planProcesses(settings, settings.ports, false).map(({ name }) => name);
  const byName = (a: RoleProcess, b: RoleProcess): number => names.indexOf(a.name) - names.indexOf(b.name);
  const byService = (a: ServerInfo, b: ServerInfo): number => SERVICE_NAMES.indexOf(a.service) - SERVICE_NAMES.indexOf(b.service);
  return { version: 1, servers: [...servers].sort(byService), roles: [...roles].sort(byName) };
}

/** The state and its file, always alike. */
interface Notebook {
  readonly state: () => State;
  readonly change: (next: (state: State) => State) => void;
}

function openNotebook(file: string): Notebook {
  let state = readState(file);
  const change: Notebook["change"] = (next) => {
    state = next(state);
    writeState(file, state);
  };
  return { state: () => state, change };
}

async function ensureServers(options: UpOptions, settings: Settings, notebook: Notebook): Promise<number> {
  const { home, environment, progress, serverPorts = "documented" } = options;
  const before = notebook.state().servers;
  const natsUsers = settings.asksForNatsUsers && !environment["NATS_URL"] ? ownUsers(home, settings) : undefined;
  const running = natsIn(before);
  const known = running === undefined ? undefined : usersOf(running);
  const logins = settings.asksForLogins ? await ownLogins(home, settings.prefix, before) : undefined;
  if (running !== undefined && natsUsers !== undefined && known !== undefined && known !== natsUsers.config) await progress.step("NATS users", () => reloadUsers(running, natsUsers.config));
  const checked = await Promise.all(before.map(async (server) => ((await isStillGood(server, environment, { natsUsers, logins })) ? [server] : [])));
  const good = checked.flat();
  const missing = SERVICE_NAMES.filter((name) => !good.some(({ service }) => service === name));
  if (missing.length === 0) return 0;
  // What leads nowhere is an error while the server that it would replace still runs.
  await locateAll(missing, { environment, home, onProgress: progress.note });
  await endSwitchedNats(options, settings, notebook.state(), natsUsers);
  for (const server of before) if (!good.includes(server) && server.process !== undefined) await endProcess(server.process, server.service === "postgres" ? "SIGINT" : "SIGTERM");
  notebook.change((state) => ({ ...state, servers: good }));
  const formerPorts = Object.fromEntries(before.flatMap(({ service, port }) => (port === undefined ? [] : [[service, port]])));
  const start = () =>
    startServers({
      home, environment, ports: serverPorts, forTests: false, durability: settings.durability, streamsGib: settings.streamsGib, natsUsers, logins, only: missing, formerPorts,
      onProgress: progress.note, onServer: (server) => notebook.change((state) => withServer(state, server)),
    });
  await progress.step(`servers: ${missing.map((name) => SERVICES[name].title).join(", ")}`, start, ({ servers }) => servers.map(({ service, version, provider }) => `${service} ${version} (${provider})`).join(", "));
  const nats = natsIn(notebook.state().servers);
  const advisory = nats === undefined ? null : natsAdvisory(nats.version);
  if (advisory !== null) progress.note(`${advisory}; this one listens on loopback only`);
  return missing.length;
}

/** With the roles, which can still settle there what they run: they could not log in to the next one. */
async function endSwitchedNats({ progress, environment }: UpOptions, { shutdownGraceMs }: Settings, { servers, roles }: State, natsUsers: NatsUsers | undefined): Promise<void> {
  const nats = natsIn(servers);
  if (nats?.process === undefined || environment["NATS_URL"] || !isRunning(nats.process)) return;
  const { process: identity } = nats;
  const reason = reasonToRestartNats(nats.seedFile !== undefined, natsUsers !== undefined);
  if (reason === null) return;
  await progress.step(`ending roles and NATS: ${reason}`, async () => {
    await Promise.all(roles.map((role) => endProcess(role.process, "SIGTERM", killAfterMs(shutdownGraceMs))));
    await endProcess(identity, "SIGTERM");
  });
}

/** Ours: that very process, it answers, and asks for users as it shall. Given: the URL is the same, and it answers. */
async function isStillGood(server: ServerInfo, environment: Environment, { natsUsers, logins }: { readonly natsUsers: NatsUsers | undefined; readonly logins: ServerLogins | undefined }): Promise<boolean> {
  const url = environment[SERVICES[server.service].urlVariable] || undefined;
  const isWanted = server.process === undefined ? url === server.url : isRunning(server.process) && (url === undefined || url === server.url);
  if (!isWanted) return false;
  if (server.service === "nats" && server.process !== undefined && reasonToRestartNats(server.seedFile !== undefined, natsUsers !== undefined) !== null) return false;
  if (server.service !== "nats" && server.process !== undefined && (server.passwordFile !== undefined) !== (logins !== undefined)) return false;
  const probe = async () => probeServer(server.service, loginUrl(server), natsLogin(server, environment));
  return probe().then(() => true, () => false);
}

async function runPreparation({ home, environment, prepare, progress }: UpOptions, settings: Settings, servers: readonly ServerInfo[]): Promise<void> {
  const { NATS_URL = "", DATABASE_URL = "" } = urlsOf(servers.map((server) => ({ ...server, url: loginUrl(server) })));
  await progress.step("NATS streams and consumers", () => prepare.topology(NATS_URL, settings, false, natsLogin(natsIn(servers), environment)));
  await progress.step("database migrations", () => prepare.migrations(DATABASE_URL, postgresPasswords(home, servers)), (applied) => (applied === 0 ? "none to apply" : `${applied} applied`));
  const unaudited = await auditUsers(userFilesIn(home.root), DATABASE_URL);
  if (unaudited !== null) progress.note(`changes of NATS users are not in the admin audit yet (${unaudited}); the next \`up\` tries again`);
  if (!settings.tiers.tiers.flatMap(replicasOf).some(({ backend }) => backend.kind === "local")) return;
  const train = () => prepare.localModels(settings.localModelsDir, progress.note);
  await progress.step("local models", train, ({ models, wasCached }) => `${models.join(", ")}${wasCached ? " (trained before)" : ""}`);
}

async function ensureRoles(options: UpOptions, settings: Settings, notebook: Notebook): Promise<{ started: number; ports: Ports }> {
  const { home, environment, progress, isSingleProcess, dist = join(home.project, "dist"), readyDeadlineMs = READY_DEADLINE_MS } = options;
  const { servers, roles: before } = notebook.state();
  const login = roleLogin(home, natsIn(servers));
  const running = before.filter((role) => isRunning(role.process));
  const ports = await choosePorts(settings, { ...portsOf(before, running), onProgress: progress.note });
  const env = roleEnvironment(environment, { settings, ports, urls: urlsOf(servers) });
  if (login !== null) for (const name of ["NATS_NKEY_SEED", "NATS_NKEY_SEED_FILE"]) Reflect.deleteProperty(env, name);
  const planned = withSnapshotKeys(planProcesses(settings, ports, isSingleProcess), environment);
  const plans = withLogins(login === null ? planned : withSeeds(planned, login.seeds, roleUsers(tierNames(settings))), home, servers);
  const logins = loginsHash(plans, servers);
  const startedWith = { ...hashesOf(dist, settings, env), ...(login === null ? {} : { "the NATS login": login.hash }), ...(logins === null ? {} : { "the logins": logins }) };
  const fingerprintOf = (plan: PlannedProcess) => hashOf([JSON.stringify(startedWith), JSON.stringify(plan)]);
  const kept = await upToDate(running, plans, fingerprintOf);
  const toStart = plans.filter(({ name }) => !kept.some((role) => role.name === name));
  for (const { program } of toStart) requireProgram(dist, program);
  const now = { plans, fingerprints: new Map(plans.map((plan) => [plan.name, fingerprintOf(plan)])), startedWith };
  await endOutdated(options, settings, running.filter((role) => !kept.includes(role)), now);
  notebook.change((state) => ({ ...state, roles: kept }));
  if (toStart.length === 0) return { started: 0, ports };
  await progress.step(`roles: ${toStart.map(({ name }) => name).join(", ")}`, async () => {
    for (const plan of toStart) {
      const role = startRole(plan, { project: home.project, dist, logs: home.logs, env, fingerprint: fingerprintOf(plan), startedWith });
      notebook.change((state) => withRole(state, role));
    }
    await awaitReady(notebook.state().roles, readyDeadlineMs);
  }, () => "all ready");
  return { started: toStart.length, ports };
}

const natsIn = (servers: readonly ServerInfo[]): ServerInfo | undefined => servers.find(({ service }) => service === "nats");

/** Of the server that is started here and asks for users: a file for each role. `null`: an open server, or not ours. */
function roleLogin({ root }: Home, nats: ServerInfo | undefined): { readonly seeds: string; readonly hash: string } | null {
  if (nats?.seedFile === undefined) return null;
  const { list, seeds } = userFilesIn(root);
  return { seeds, hash: hashOf(readUsers(list).users.flatMap((user) => (user.kind === "role" ? [user.public_key] : []))) };
}

/** The same program and settings, and ready; it may need a moment when its servers were just started again. */
async function upToDate(running: readonly RoleProcess[], plans: readonly PlannedProcess[], fingerprintOf: (plan: PlannedProcess) => string): Promise<RoleProcess[]> {
  const same = running.filter((role) => plans.some((plan) => plan.name === role.name && fingerprintOf(plan) === role.fingerprint));
  const ready = await Promise.all(same.map((role) => awaitReady([role], 5_000).then(() => [role], () => [])));
  return ready.flat();
}

async function endOutdated({ progress }: UpOptions, { shutdownGraceMs }: Settings, outdated: readonly RoleProcess[], now: Now): Promise<void> {
  if (outdated.length === 0) return;
  const end = () => Promise.all(outdated.map((role) => endProcess(role.process, "SIGTERM", killAfterMs(shutdownGraceMs))));
  await progress.step(`ending ${outdated.map(({ name }) => name).join(", ")}: ${reasonsToRestart(outdated, now).join(", ")}`, end);
  const forgotten = forgottenSettings(outdated, now);
  if (forgotten.length > 0) progress.note(`no longer set, so back to the default: ${forgotten.join(", ")}. Export what every \`up\` shall use; it keeps no settings from one to the next`);
}

/** A role may use its whole grace time to finish what it runs; it is killed only after that. */
export const killAfterMs = (shutdownGraceMs: number): number => Math.max(10_000, shutdownGraceMs + 2_000);

/** Where each role was; of the workers' ports the lowest counts, the others follow from it. */
function portsOf(before: readonly RoleProcess[], running: readonly RoleProcess[]): { former: Partial<Ports>; held: Set<number> } {
  const portIn = (url: string): number => Number(new URL(url).port);
  const addresses = before.flatMap((role) => role.addresses);
  const variableOf = (role: string) => (role.startsWith("worker-") ? "INFER_WORKER_PORT" : PORT_VARIABLES.find((name) => name === `INFER_${role.toUpperCase().replaceAll("-", "_")}_PORT`));
  const former: Partial<Record<string, number>> = {};
  for (const { role, url } of addresses) {
    const variable = variableOf(role);
    if (variable !== undefined) former[variable] = Math.min(former[variable] ?? Infinity, portIn(url));
  }
  return { former, held: new Set(running.flatMap((role) => role.addresses.map(({ url }) => portIn(url)))) };
}

/** What the processes are started with, by name. Hashes: some of it is secret. */
function hashesOf(dist: string, { tiersFile, tiers }: Settings, env: Readonly<Record<string, string>>): Record<string, string> {
  const settings = Object.entries(env).filter(([name]) => !OF_THE_SHELL.has(name)).sort();
  return { "the build": contentOf(dist), [TIER_FILE]: tierFileHash(tiersFile), "the prices": hashOf(pricesOf(tiers)), ...Object.fromEntries(settings.map(([name, value]) => [name, hashOf([value])])) };
}

/** Those that hold today: another price book, or another day, may give others for the same tier file. */
const pricesOf = (tiers: TierFile): string[] => servedBy(tiers).flatMap((tier) => [tier.price, ...replicasOf(tier).map(({ price }) => price)]).map((price) => JSON.stringify(price));

function contentOf(dist: string): string {
  if (!existsSync(dist)) return "";
  const files = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js")).sort();
  return hashOf(files.map((file) => `${file}\n${readFileSync(join(dist, file), "utf8")}`));
}

const TIER_FILE = "the tier file";
const tierFileHash = (tiersFile: string): string => hashOf([readFileSync(tiersFile, "utf8")]);
/** Every process that runs was started with this very tier file. */
export const runsTierFile = ({ roles }: Pick<State, "roles">, tiersFile: string): boolean => roles.every(({ startedWith }) => startedWith[TIER_FILE] === tierFileHash(tiersFile));

const hashOf = (parts: readonly string[]): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
