import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { type Home, openHome } from "#infra/embedded/homeFolder.ts";
import { withHomeLock } from "#infra/embedded/homeLock.ts";
import { isRunning } from "#infra/embedded/processIdentity.ts";
import { replaceFile } from "#infra/embedded/replaceFile.ts";
import type { ServerInfo } from "#infra/embedded/serverInfo.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { readState } from "#infra/embedded/stateFile.ts";
import { auditUsers } from "#infra/nats/auditUsers.ts";
import { makeRoleUsers, makeTenantUser, removeTenantUser, type UserFiles, userFilesIn } from "#infra/nats/natsUsers.ts";
import { reloadUsers, tierNames } from "#infra/nats/ownUsers.ts";
import { serverUsers } from "#infra/nats/serverUsers.ts";
import { readUsers, type TenantUser } from "#infra/nats/userList.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { makePool } from "#shared/db/pool.ts";
import { inboxOf } from "#shared/messaging/topology.ts";
import { readTenant } from "#shared/tenancy/tenants.ts";

import { type CliContext, type Command, EXIT_USAGE, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { serverUrl } from "../serverUrl.ts";
import { textTable } from "../textTable.ts";

export const natsUsers: Command = {
  summary: "Makes, lists and removes the users of the NATS server: one per role, and those of tenants, who reach their own subjects alone.",
  usage: "init [--anew] | add --tenant <id> [--name <what uses it>] [--out <file>] | list | remove <public key> | config [--out <file>]",
  details: [
    "init          a user for each role that has none, with its seed in a folder beside the list; `up` with INFER_AUTH=keys does it by itself",
    "--anew        new ones for all roles: start them again after it (inferctl up)",
    "add           a user of a tenant; its seed is shown once, or written to --out, and kept nowhere",
    "list          whose they are; no seeds",
    "remove        closes its connections, and lets it in no more",
    "config        what nats-server includes; a server that `up` has started is told of it, and of every change, at once",
    "--users-file  another list than that in INFER_HOME, for a server that was not started here; seeds of roles are in nats-users/ beside it",
    "--json        for programs",
  ],
  example: "inferctl nats-users add --tenant tenant-1 --out tenant-1.nk",
  options: { tenant: { type: "string" }, name: { type: "string" }, out: { type: "string" }, anew: { type: "boolean" }, "users-file": { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 2,
  verbs: ["init", "add", "list", "remove", "config"],
  run: async (given, context) => {
    const { positionals: [verb, argument] } = given;
    const place = placeOf(given, context);
    switch (verb ?? "") {
      case "init": return init(place, given, context);
      case "add": return add(place, given, context);
      case "list": return list(place, given, context);
      case "remove": return remove(place, argument, given, context);
      case "config": return config(place, given, context);
      default: throw wrongUse("nats-users", verb === undefined ? "say what to do with the users" : `there is no "nats-users ${verb}"`);
    }
  },
};

interface Place {
  readonly home: Home;
  readonly files: UserFiles;
  /** Undefined: of a server that was not started here. */
  readonly named: string | undefined;
}

function placeOf({ values }: ParsedArguments, { environment }: CliContext): Place {
  const home = openHome(environment);
  const named = textOf(values, "users-file");
  return { home, named, files: named === undefined ? userFilesIn(home.root) : { list: resolve(named), seeds: join(dirname(resolve(named)), "nats-users") } };
}

const textOf = (values: ParsedArguments["values"], name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);

async function init(place: Place, given: ParsedArguments, context: CliContext): Promise<number> {
  const { files, home } = place;
  const tiers = tierNames(readSettings(context.environment, home));
  const { result: made, after } = await changed(place, context, () => makeRoleUsers(files, tiers, { anew: given.values["anew"] === true, now: () => new Date() }));
  const what = made.length === 0 ? "every role has its user" : `made users of ${made.join(", ")}; their seeds are in ${files.seeds}`;
  sayer(given, context)({ made, list: files.list, seeds: files.seeds, ...after.facts }, [what, ...after.lines].join("\n"));
  return 0;
}

async function add(place: Place, given: ParsedArguments, context: CliContext): Promise<number> {
  const tenant = TenantId.safeParse(textOf(given.values, "tenant"));
  if (!tenant.success) throw wrongUse("nats-users", "say which tenant it is for: --tenant <1 to 64 of A-Z a-z 0-9 _ ->");
  const out = textOf(given.values, "out");
  await requireTenant(tenant.data, place.home, context);
  const inboxPrefix = inboxOf(tenant.data);
  const say = ({ user, seed }: Made, after?: After) => {
    const shown = out === undefined ? `Its seed, shown this once:\n\n${seed}\n` : `Its seed is in ${out}.`;
    const lines = [`made a user of tenant ${tenant.data}: ${user.public_key}`, shown, `It connects with the inbox prefix ${inboxPrefix}: any other is refused.`, ...(after?.lines ?? [])];
    sayer(given, context)({ user, ...(out === undefined ? { seed } : { seed_file: out }), inbox_prefix: inboxPrefix, ...after?.facts }, lines.join("\n"));
  };
  const file = out === undefined ? null : openSeedFile(out);
  const state: { made: Made | null } = { made: null };
  try {
    const { result, after } = await changed(place, context, () => {
      requireRoles(place);
      const made = makeTenantUser(place.files, { tenant_id: tenant.data, name: textOf(given.values, "name") ?? "default" }, new Date(), file?.keep);
      state.made = made;
      return made;
    });
    say(result, after);
    return 0;
  } catch (error) {
    if (state.made === null) file?.remove();
    else say(state.made); // it is in the list, though the server may not know it yet
    throw error;
  } finally {
    file?.close();
  }
}
interface Made {
  readonly user: TenantUser;
  readonly seed: string;
}

/** Before there is a seed, so that none is lost to a file that cannot be written. */
function openSeedFile(path: string): { readonly keep: (seed: string) => void; readonly close: () => void; readonly remove: () => void } {
  try {
    const file = openSync(path, "wx", 0o600);
    return { keep: (seed) => { writeFileSync(file, `${seed}\n`); }, close: () => { closeSync(file); }, remove: () => { rmSync(path, { force: true }); } };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    if (code === "EEXIST") throw new SetupError(`${path} is there already`, "Name another file; a seed overwrites nothing.", { exitCode: EXIT_USAGE });
    throw new SetupError(`${path} cannot be written (${code})`, "Name another file. No user was made.", { exitCode: EXIT_USAGE });
  }
}

/** A list without roles' users would make a server that serves nobody. */
function requireRoles({ files }: Place): void {
  if (!readUsers(files.list).users.some(({ kind }) => kind === "role")) throw new SetupError("there are no users of the roles yet", "Make them first: inferctl nats-users init; or let `INFER_AUTH=keys inferctl up` do it.");
}

/** Where Postgres can be asked: routers refuse requests of a tenant that nobody has made. */
async function requireTenant(tenantId: string, home: Home, { environment, progress }: CliContext): Promise<void> {
  const url = databaseUrl(environment, home);
  if (url === null) return;
  const pool = makePool(url, "inferctl", () => undefined);
  const found = await readTenant({ pool, tenantId: null }, tenantId).catch(() => undefined).finally(() => pool.end());
  if (found === null) throw new SetupError(`there is no tenant ${tenantId}`, "Make it first: inferctl tenants create --help", { exitCode: EXIT_USAGE });
  if (found === undefined) progress.note(`whether there is a tenant ${tenantId} cannot be known now: Postgres does not answer`);
}

function list({ files }: Place, given: ParsedArguments, context: CliContext): Promise<number> {
  const { users } = readUsers(files.list);
  const rows = users.map((user) => [user.public_key, ...(user.kind === "role" ? ["role", user.role] : ["tenant", `${user.tenant_id} (${user.name})`]), user.created_at]);
  sayer(given, context)({ users }, users.length === 0 ? "no users yet; make them with: inferctl nats-users init" : textTable(["PUBLIC KEY", "", "WHOSE", "SINCE"], rows));
  return Promise.resolve(0);
}

async function remove(place: Place, publicKey: string | undefined, given: ParsedArguments, context: CliContext): Promise<number> {
  if (publicKey === undefined) throw wrongUse("nats-users", "say which user to remove, by its public key");
  const isRole = readUsers(place.files.list).users.some((user) => user.kind === "role" && user.public_key === publicKey);
  if (isRole) throw new SetupError(`${publicKey} is a role's`, "Make new ones for all roles, and start them again: inferctl nats-users init --anew; inferctl up", { exitCode: EXIT_USAGE });
  const { result: user, after } = await changed(place, context, () => removeTenantUser(place.files, publicKey, new Date()));
  if (user === null) throw new SetupError(`there is no user ${publicKey}`, "See: inferctl nats-users list", { exitCode: EXIT_USAGE });
  sayer(given, context)({ removed: user, ...after.facts }, [`removed ${user.public_key}, tenant ${user.tenant_id} (${user.name})`, ...after.lines].join("\n"));
  return 0;
}

async function config(place: Place, given: ParsedArguments, context: CliContext): Promise<number> {
  const out = textOf(given.values, "out");
  const { result: text, after } = await changed(place, context, () => {
    requireRoles(place);
    const made = configOf(place, context);
    if (out !== undefined) replaceFile(resolve(out), made);
    return made;
  });
  if (given.values["json"] === true) sayer(given, context)({ ...(out === undefined ? { config: text } : { config_file: out }), ...after.facts }, "");
  else if (out === undefined) context.print(text.trimEnd());
  if (given.values["json"] !== true) for (const line of [...(out === undefined ? [] : [`written to ${out}: include it in the server's configuration (include ${JSON.stringify(out)})`]), ...after.lines]) context.progress.note(line);
  return 0;
}

const configOf = ({ files, home }: Place, { environment }: CliContext): string => {
  const settings = readSettings(environment, home);
  return serverUsers(readUsers(files.list).users, { prefix: settings.prefix, tiers: tierNames(settings) });
};

interface After {
  readonly facts: { readonly is_audited: boolean; readonly is_in_effect: boolean };
  readonly lines: readonly string[];
}
/** One change at a time; then the server and the admin audit learn of it. */
async function changed<T>(place: Place, context: CliContext, change: () => T): Promise<{ result: T; after: After }> {
  const { home, files, named } = place;
  mkdirSync(dirname(files.list), { recursive: true });
  return withHomeLock(dirname(files.list), context.progress.note, async () => {
    const result = change();
    const server = named === undefined ? ownServer(home) : undefined;
    if (server !== undefined) await reloadUsers(server, configOf(place, context));
    const url = databaseUrl(context.environment, home);
    const unaudited = url === null ? "which Postgres? DATABASE_URL is not set, and none was started here" : await auditUsers(files, url);
    const lines = [
      server !== undefined ? "The NATS server goes by it now." : named === undefined ? "It takes effect with: INFER_AUTH=keys inferctl up" : "It takes effect once the server has it: inferctl nats-users config --users-file … --out <what it includes>; nats-server --signal reload=<its pid>",
      ...(unaudited === null || readUsers(files.list).unaudited.length === 0 ? [] : [`Not in the admin audit yet (${unaudited}); the next nats-users command tries again.`]),
    ];
    return { result, after: { facts: { is_audited: readUsers(files.list).unaudited.length === 0, is_in_effect: server !== undefined }, lines } };
  });
}

/** That runs here and asks for users. */
function ownServer({ stateFile }: Home): ServerInfo | undefined {
  const nats = readState(stateFile).servers.find(({ service }) => service === "nats");
  return nats?.seedFile !== undefined && nats.process !== undefined && isRunning(nats.process) ? nats : undefined;
}

function databaseUrl(environment: CliContext["environment"], home: Home): string | null {
  try {
    return serverUrl("postgres", environment, home);
  } catch {
    return null;
  }
}
