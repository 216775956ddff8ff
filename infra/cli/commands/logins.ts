import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { openHome } from "#infra/embedded/homeFolder.ts";
import { withHomeLock } from "#infra/embedded/homeLock.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { loginFiles, makeGivenLogins, passwordFiles, redisAclFile, renewPasswords } from "#infra/logins/givenLogins.ts";
import { makePool } from "#shared/db/pool.ts";
import { writeAdminAudit } from "#shared/tenancy/adminAudit.ts";
import { withRights } from "#shared/tenancy/database.ts";

import { type CliContext, type Command, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { textTable } from "../textTable.ts";

export const logins: Command = {
  summary: "Makes and lists the logins of the services at Postgres and Redis: each may do what its service needs, and nothing else.",
  usage: "init [--anew] [--folder <folder>] | list [--folder <folder>]",
  details: [
    "init      makes those that are missing at the servers that DATABASE_URL (as the owner of the tables) and REDIS_URL (as who may use ACL) name, after `inferctl migrate`;",
    "          each service's own DATABASE_URL and REDIS_URL are then in <folder>/logins/<service>.env, for nobody else to read. `up` with INFER_AUTH=keys does it by itself for servers that it starts",
    "--anew    new passwords for all: start the services again after it (inferctl up)",
    "list      whose they are, and where their passwords lie; no passwords",
    "--folder  another folder than INFER_HOME",
    "--json    for programs",
  ],
  example: "DATABASE_URL=postgresql://me@db:5432/infer REDIS_URL=redis://me:…@cache:6379 inferctl logins init --folder /etc/infer",
  options: { anew: { type: "boolean" }, folder: { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 1,
  verbs: ["init", "list"],
  run: async (given, context) => {
    const { positionals: [verb] } = given;
    switch (verb ?? "") {
      case "init": return init(given, context);
      case "list": return list(given, context);
      default: throw wrongUse("logins", verb === undefined ? "say what to do with the logins" : `there is no "logins ${verb}"`);
    }
  },
};

const rootOf = ({ values }: ParsedArguments, { environment }: CliContext): string => (typeof values["folder"] === "string" ? resolve(values["folder"]) : openHome(environment).root);

async function init(given: ParsedArguments, context: CliContext): Promise<number> {
  const { environment, progress } = context;
  const root = rootOf(given, context);
  const { prefix } = readSettings(environment, openHome(environment));
  const servers = { databaseUrl: environment["DATABASE_URL"] || undefined, redisUrl: environment["REDIS_URL"] || undefined };
  const isAnew = given.values["anew"] === true;
  const isGiven = servers.databaseUrl !== undefined || servers.redisUrl !== undefined;
  if (!isGiven && !isAnew) throw new SetupError("which servers? Neither DATABASE_URL nor REDIS_URL is set", "Set them; what `up` starts has its logins from: INFER_AUTH=keys inferctl up");
  const { isRedisKept } = await withHomeLock(root, progress.note, async () => {
    if (isAnew) renewPasswords(root);
    return makeGivenLogins(root, prefix, servers);
  });
  if (servers.databaseUrl !== undefined) await audit(servers.databaseUrl, isAnew);
  const files = loginFiles(root).filter(({ file }) => existsSync(file));
  const lines = [
    ...files.map(({ name, file }) => `${name}: ${file}`),
    ...(isGiven ? ["Start each service with the variables in its file."] : ["New passwords take effect with: INFER_AUTH=keys inferctl up"]),
    ...(isRedisKept ? [] : [`Redis has no ACL file, and forgets its users when it is restarted: put the lines of ${redisAclFile(root)} into its configuration.`]),
  ];
  sayer(given, context)({ logins: files, is_redis_kept: isRedisKept }, lines.join("\n"));
  return 0;
}

async function audit(databaseUrl: string, isAnew: boolean): Promise<void> {
  const pool = makePool(databaseUrl, "inferctl", () => undefined); // the query that it breaks says so
  try {
    await withRights({ pool, tenantId: null }, (client) => writeAdminAudit(client, { kind: "inferctl" }, { tenantId: null, action: "logins.init", object: "logins", change: { anew: isAnew } }));
  } finally {
    await pool.end();
  }
}

function list(given: ParsedArguments, context: CliContext): Promise<number> {
  const root = rootOf(given, context);
  const found = loginFiles(root).map((login) => ({ ...login, file: existsSync(login.file) ? login.file : null, password_files: passwordFiles(root, login).filter((file) => existsSync(file)) })).filter(({ password_files }) => password_files.length > 0);
  const rows = found.map(({ name, postgres, redis, password_files }) => [name, postgres ?? "-", redis ?? "-", password_files.join(", ")]);
  sayer(given, context)({ logins: found }, rows.length === 0 ? "no logins yet; make them with: inferctl logins init, or INFER_AUTH=keys inferctl up" : textTable(["SERVICE", "POSTGRES", "REDIS", "PASSWORDS"], rows));
  return Promise.resolve(0);
}
