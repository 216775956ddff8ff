import { relative } from "node:path";

import { bringUp, type UpResult } from "#infra/embedded/bringUp.ts";
import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { linesOf, type StatusLine } from "#infra/embedded/readStatus.ts";

import type { Command } from "../command.ts";
import { textTable } from "../textTable.ts";

export const up: Command = {
  summary: "Starts servers and roles, and returns when all are ready. Harmless when they run already.",
  usage: "[--single-process] [--json]",
  details: ["--single-process  All roles in one process.", "--json            Prints the result as JSON."],
  example: "inferctl up --json | jq -r '.lines[] | select(.name == \"gateway\").url'",
  options: { "single-process": { type: "boolean" }, json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, progress, prepare, print }) => {
    const home = openHome(environment);
    const result = await bringUp({ home, environment, progress, prepare, isSingleProcess: values["single-process"] === true });
    const lines = await linesOf(result, environment);
    if (values["json"] === true) print(JSON.stringify({ has_started_something: result.hasStartedSomething, lines, moved_ports: result.moved, quick_start: quickStart(result, lines, environment) }, null, 2));
    else print(upReport(result, lines, environment));
    return 0;
  },
};

function upReport(result: UpResult, lines: readonly StatusLine[], environment: Environment): string {
  const rows = lines.map(({ name, url, pid, what, logFile }) => [name, url, String(pid ?? "-"), what, logFile === null ? "-" : relative(process.cwd(), logFile)]);
  const intro = result.hasStartedSomething ? "Ready." : "Everything was running already.";
  return [`\n${intro}\n`, ...movedLines(result.moved), textTable(["NAME", "ADDRESS", "PID", "PROVIDER AND VERSION", "LOG"], rows), "\nTry:", ...quickStart(result, lines, environment).map((line) => `  ${line}`), "\nStop it with: make down"].join("\n");
}

/** A moved port must not be found out from a refused connection: examples say 8080. */
function movedLines(moved: UpResult["moved"]): string[] {
  if (moved.length === 0) return [];
  const lines = moved.map(({ variable, wanted, used }) => `  ${variable}: ${wanted} was wanted and taken, ${used} is used`);
  return ["Ports that moved, because other programs had them (set the variable to choose one yourself):", ...lines, ""];
}

/** What to do first: a request, with a key where one is asked for, the demo and the page that shows what it saved, and where audit rows are. A password is never printed. */
export function quickStart({ servers }: Pick<UpResult, "servers">, lines: readonly Pick<StatusLine, "name" | "url">[], environment: Environment): string[] {
  const gateway = lines.find(({ name }) => name === "gateway")?.url ?? "";
  const admin = lines.find(({ name }) => name === "gateway-admin")?.url;
  const postgres = servers.find(({ service }) => service === "postgres");
  const database = postgres === undefined || postgres.provider === "url" ? '"$DATABASE_URL"' : postgres.url;
  const asksForKeys = environment["INFER_AUTH"] === "keys";
  const body = { request_id: "hello-1", user_id: "u1", ...(asksForKeys ? {} : { tenant_id: "demo" }), input: "Subject: You have won! Click here to claim your prize", budget: 0.01 };
  return [
    ...(asksForKeys ? ["npx inferctl tenants create demo; npx inferctl keys create --tenant demo   # then: export INFER_API_KEY=<the key>"] : []),
    `curl -s ${gateway}/infer ${asksForKeys ? '-H "authorization: Bearer $INFER_API_KEY" ' : ""}-H 'content-type: application/json' -d '${JSON.stringify(body)}'`,
    ...(admin === undefined ? [] : ["npx inferctl demo   # 2,000 labelled requests, half a minute", `${admin}/console   # what that saved, and why each request went where it went`]),
    `${postgres?.passwordFile === undefined ? "" : `PGPASSWORD=$(cat '${postgres.passwordFile}') `}psql ${database} -c 'TABLE requests LIMIT 5'`,
  ];
}
