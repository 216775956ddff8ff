/** Who may do what in Postgres and Redis, from the lists that grants and users are made from. Pure. */
import { DATABASE_ROLES, type DatabaseRole, MAY_BECOME, roleName, SERVICES, TABLES } from "#shared/db/permissions.ts";
import { keyPattern, REDIS_RIGHTS, REDIS_SERVICES } from "#shared/redis/permissions.ts";

const VERBS = ["SELECT", "INSERT", "UPDATE", "DELETE"] as const;

/** One row per role; of a table whose rights are for some columns alone, those are named. */
export function databasePermissionsTable(): string {
  const rows = DATABASE_ROLES.map((role) => `| \`${roleName(role)}\` | ${VERBS.map((verb) => tablesWith(role, verb)).join(" | ")} | ${becomes(role)} |`);
  return ["| role | reads | adds to | changes | deletes from | may become |", "|---|---|---|---|---|---|", ...rows].join("\n");
}

const tablesWith = (role: DatabaseRole, verb: string): string =>
  Object.entries(TABLES).flatMap(([table, { rights }]) => (rights[role] ?? []).filter((right) => right.split(" ")[0] === verb).map((right) => `${table}${right.slice(verb.length)}`)).join(", ");

const becomes = (role: DatabaseRole): string => (SERVICES.find((service) => service === role) === undefined ? "" : MAY_BECOME[role as keyof typeof MAY_BECOME].map((taken) => `\`${roleName(taken)}\``).join(", "));

/** One row per service and part of the keys. */
export function redisPermissionsTable(): string {
  const rows = REDIS_SERVICES.flatMap((service) => {
    const { keyless, keys } = REDIS_RIGHTS[service];
    return [
      ...keys.map((one) => `| ${service} | \`${keyPattern("infer", one)}\`${one.writes ? "" : " (reads)"} | ${one.commands.join(", ")} |`),
      `| ${service} | none | ${keyless.map((command) => command.replace("|", " ")).join(", ")} |`,
    ];
  });
  return ["| who | keys | commands |", "|---|---|---|", ...rows].join("\n");
}
