import { type ApiKey, NewKey } from "#shared/contracts/apiKey.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { createKey, listKeys, revokeKey } from "#shared/tenancy/keys.ts";

import { type Command, sayer, wrongUse } from "../command.ts";
import { keyPepper, withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";

const ACTOR = { kind: "inferctl" } as const;
const DAY_MS = 86_400_000;

export const keys: Command = {
  summary: "Makes, lists and revokes API keys of a tenant, or of whoever runs the service.",
  usage: "create (--tenant <tenant> | --operator) [--role infer|read|admin] [--name <text>] [--expires <days>] | list (--tenant <tenant> | --operator) | revoke <key id> (--tenant <tenant> | --operator)",
  details: [
    "create      prints the key, once: it is kept nowhere",
    "--role      infer (default): asks models; read: reads requests; admin: reads them and manages keys",
    "--name      what uses it (default: default); two keys of a name may live at a time, so that one can replace the other",
    "--expires   days from now",
    "--operator  a key of no tenant: with --role infer it asks for any, with --role admin it manages all",
    "revoke      it is refused everywhere within 30 s",
    "--json      for programs",
  ],
  example: "inferctl keys create --tenant acme --name web",
  options: { json: { type: "boolean" }, tenant: { type: "string" }, operator: { type: "boolean" }, role: { type: "string" }, name: { type: "string" }, expires: { type: "string" } },
  maxPositionals: 2,
  verbs: ["create", "list", "revoke"],
  run: ({ values, positionals: [verb, keyId] }, { environment, print }) => withTenancy(environment, async (rights) => {
    const say = sayer({ values }, { print });
    const text = (option: string): string | undefined => (typeof values[option] === "string" ? values[option] : undefined);
    if ((text("tenant") === undefined) !== (values["operator"] === true)) refuse("say whose keys: --tenant <tenant> or --operator");
    const tenantId = text("tenant") ?? null;
    switch (verb ?? "") {
      case "create": {
        const { role, name, expires } = { role: text("role"), name: text("name"), expires: text("expires") };
        const parsed = NewKey.safeParse({ ...(role === undefined ? {} : { role }), ...(name === undefined ? {} : { name }), ...(expires === undefined ? {} : { expires_at: inDays(expires) }) });
        if (!parsed.success) return refuse(inOneLine(issueLines(parsed.error)));
        const created = await createKey(rights, ACTOR, keyPepper(environment), tenantId, parsed.data);
        say(created, `${created.key}\n\nKeep it now: it is shown this once. Role ${created.role}, name ${created.name}${created.expires_at === null ? "" : `, until ${created.expires_at}`}. Use: curl -H "authorization: Bearer <key>" ...`);
        return 0;
      }
      case "list": {
        const found = await listKeys(rights, tenantId);
        say({ keys: found }, found.length === 0 ? "no key yet; make one with: inferctl keys create" : listOf(found));
        return 0;
      }
      case "revoke": {
        const revoked = await revokeKey(rights, ACTOR, tenantId, keyId ?? refuse("say which key to revoke"));
        say(revoked, `key ${revoked.key_id} is revoked: it is refused everywhere within 30 s`);
        return 0;
      }
      default: return refuse(verb === undefined ? "say what to do with the keys" : `there is no "keys ${verb}"`);
    }
  }),
};

function refuse(message: string): never {
  throw wrongUse("keys", message);
}

function inDays(text: string): string {
  const days = Number(text);
  if (!(days > 0 && days <= 3_650)) refuse("--expires: a number of days up to 3650");
  return new Date(Date.now() + days * DAY_MS).toISOString();
}

function stateOf({ revoked_at, expires_at }: ApiKey): string {
  if (revoked_at !== null) return `revoked ${revoked_at}`;
  if (expires_at === null) return "live";
  return `${Date.parse(expires_at) <= Date.now() ? "expired" : "live until"} ${expires_at}`;
}
const listOf = (found: readonly ApiKey[]): string =>
  textTable(["key", "name", "role", "ends in", "created", "state"], found.map((key) => [key.key_id, key.name, key.role, `...${key.last_four}`, key.created_at, stateOf(key)]));
