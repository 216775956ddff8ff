import { lookup } from "node:dns";
import { readFileSync } from "node:fs";
import { BlockList } from "node:net";

import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { stringify } from "yaml";

import { badInputsTable } from "#infra/badInputs/badInputsTable.ts";
import { buildGateway, type GatewayServers } from "#producers/gateway/app.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";
import { VERSION } from "#shared/runtime/version.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";

import { asyncApi } from "./asyncApi.ts";
import { environmentExample, environmentTable } from "./configuration.ts";
import { natsPermissionsTable } from "./natsPermissions.ts";
import { databasePermissionsTable, redisPermissionsTable } from "./serverPermissions.ts";

/** Path and content of every generated file. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const { service, admin } = await openApi();
  return {
    ".env.example": environmentExample(),
    "docs/generated/openapi.json": `${JSON.stringify(service, null, 2)}\n`,
    "docs/generated/openapi-admin.json": `${JSON.stringify(admin, null, 2)}\n`,
    "docs/generated/asyncapi.yaml": stringify(asyncApi(), { aliasDuplicateObjects: false }),
    "docs/configuration.md": withTables("docs/configuration.md", { environment: environmentTable() }),
    "docs/security.md": withTables("docs/security.md", { "NATS permissions": natsPermissionsTable(), "Postgres permissions": databasePermissionsTable(), "Redis permissions": redisPermissionsTable() }),
    "docs/bad-inputs.md": withTables("docs/bad-inputs.md", { "bad inputs": badInputsTable() }),
  };
}

/** Of both listeners of the gateway. Only their routes are looked at; nothing is called. */
async function openApi(): Promise<Record<keyof GatewayServers, object>> {
  const unused = () => Promise.reject(new Error("not called while documents are made"));
  const { service, admin } = await buildGateway({
    desk: () => ({ inference: { infer: unused, accept: unused }, find: unused, listen: () => () => undefined, submitFeedback: unused, watches: { watch: unused } }), tracer: startTracing(undefined, "docs").tracer, registry: new Registry(),
    problems: () => [], waiting: () => 0, log: pino({ level: "silent" }), callers: { guard: () => undefined, callerOf: unused }, admin: { pool: new Pool(), pepper: null }, webhooks: { pool: new Pool(), key: null, allowance: new BlockList(), lookup }, isKeyless: true, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" }, version: VERSION, door: { tierFile: loadTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" }), budgetUsd: 0 },
  });
  await Promise.all([service.ready(), admin.ready()]);
  const documents = { service: service.swagger(), admin: admin.swagger() };
  await Promise.all([service.close(), admin.close()]);
  return documents;
}

const END = "<!-- end -->";
/** The page with its tables between the marks renewed. */
const withTables = (path: string, tables: Readonly<Record<string, string>>): string =>
  Object.entries(tables).reduce((page, [name, table]) => withTable(path, page, { name, table }), readFileSync(path, "utf8"));

function withTable(path: string, page: string, { name, table }: { readonly name: string; readonly table: string }): string {
  const start = `<!-- ${name}: made by npm run docs:generate -->`;
  const from = page.indexOf(start);
  const to = page.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`${path} has lost the marks of its generated table`);
  return `${page.slice(0, from)}${start}\n\n${table}\n\n${page.slice(to)}`;
}
