import { type Command, EXIT_PROBLEMS, sayer } from "../command.ts";
import { books } from "../doctor/checks/books.ts";
import { clocks } from "../doctor/checks/clocks.ts";
import { configuration } from "../doctor/checks/configuration.ts";
import { deadLetters } from "../doctor/checks/deadLetters.ts";
import { erasures } from "../doctor/checks/erasures.ts";
import { machine } from "../doctor/checks/machine.ts";
import { models } from "../doctor/checks/models.ts";
import { nats } from "../doctor/checks/nats.ts";
import { permissions } from "../doctor/checks/permissions.ts";
import { postgres } from "../doctor/checks/postgres.ts";
import { prices } from "../doctor/checks/prices.ts";
import { redis } from "../doctor/checks/redis.ts";
import { roles } from "../doctor/checks/roles.ts";
import { doctorText } from "../doctor/doctorText.ts";
import { countOf, runChecks } from "../doctor/finding.ts";
import { paintFor } from "../paint.ts";
import { openPlace } from "../place.ts";

const CHECKS = [machine, configuration, roles, nats, redis, postgres, permissions, prices, models, clocks, deadLetters, books, erasures];
/** Of each check. */
const DEADLINE_MS = 20_000;

export const doctor: Command = {
  summary: "Checks everything that has to be right, and says what to do about what is not. Changes nothing, and calls no model.",
  usage: "[--json]",
  details: [
    "machine          Node.js, and the disk of the home",
    "configuration    all variables of all roles, the tier file, API keys of its tiers (whether they are there; none is printed)",
    "roles            whether each that was started here runs at its port and is ready, and what it warns of; else whether their ports are free",
    "NATS             version and its known hole, max_payload; streams, buckets and consumers, with their settings, against what they should be, how full and how far behind",
    "Redis            version, memory and what becomes of it when it is short, append-only file",
    "Postgres         version, migrations, tables, roles, row-level security, what is append-only",
    "permissions      what Postgres grants each role; with INFER_AUTH=keys each login that is kept here is tried at its server",
    "prices           as inferctl prices check",
    "models           model files, and whether workers may connect to the servers of models",
    "clocks           this machine's against NATS's, Redis's and Postgres's",
    "dead letters     what was given up and nobody has handled",
    "books            open differences that reconciliation found",
    "erasures         that nothing is left of who was erased: no row, no key and, in time, no message",
    "--json           { problems, warnings, findings: [{ check, level, what, next }] }",
    `All checks run, whatever one of them finds. Ends with ${EXIT_PROBLEMS} when something is a problem, with 0 when there are warnings alone.`,
  ],
  example: "inferctl doctor --json | jq '.findings[] | select(.level != \"ok\")'",
  options: { json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, screen, progress, print }) => {
    const place = openPlace(environment);
    try {
      const findings = await progress.step("checks", () => runChecks(CHECKS, place, { deadlineMs: DEADLINE_MS, onCheck: (title) => { if (screen.terminal !== null) progress.tell?.(`looking at ${title} ...`); } }));
      const problems = countOf(findings, "problem");
      sayer({ values }, { print })({ problems, warnings: countOf(findings, "warning"), findings }, doctorText(findings, { columns: screen.columns(), paint: paintFor(screen) }));
      return problems > 0 ? EXIT_PROBLEMS : 0;
    } finally {
      await place.close();
    }
  },
};
