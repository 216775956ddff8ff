import { Pool } from "pg";

import { type DatabaseService, roleName } from "./permissions.ts";

export interface PoolOptions {
  readonly statementTimeoutMs?: number;
  /** For who gives single transactions longer than the others. Default: a little more than `statementTimeoutMs`. */
  readonly answerTimeoutMs?: number;
  /** Whose rights its connections have, whoever logs in: of no more than a service. Missing: those of the login, as `inferctl` has. */
  readonly service?: DatabaseService;
  /** Most at once. Default: 4. */
  readonly connections?: number;
  /** It reads alone, and each transaction sees one moment. */
  readonly isReader?: boolean;
}
/** What an answer takes beside its statement. */
const ON_THE_WAY_MS = 2_000;

/**
 * Every wait has a limit: by default Postgres and its client wait for ever. The server ends what takes too long itself; the client's own limit is for a
 * server that does not say anything any more. `onError` hears of idle connections that break.
 */
export function makePool(url: string, application: string, onError: (error: Error) => void, { statementTimeoutMs = 5_000, answerTimeoutMs = statementTimeoutMs + ON_THE_WAY_MS, service, connections = 4, isReader = false }: PoolOptions = {}): Pool {
  const pool = new Pool({
    connectionString: url,
    max: connections,
    application_name: `infer-${application}`,
    connectionTimeoutMillis: 3_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    query_timeout: answerTimeoutMs,
    options: `-c statement_timeout=${statementTimeoutMs} -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000${service === undefined ? "" : ` -c role=${roleName(service)}`}${isReader ? " -c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read" : ""}`,
  });
  pool.on("error", onError); // without a listener a restart of Postgres would end the process
  // The pool listens to idle connections only; one in use that breaks would end the process too. Its query is rejected anyway.
  pool.on("connect", (client) => { client.on("error", () => undefined); });
  return pool;
}

/**
 * Whether Postgres refused the data itself: SQLSTATE class 22 or 23, or 54 for more than it can take at once. Anything else is an outage or a set-up problem:
 * it will pass, and no row is to blame. So is a connection that is refused with such a state, as for a role that is not there.
 */
export const isBadRow = (error: unknown): boolean => {
  if (isRefusedConnection(error)) return false;
  const state = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  return /^(?:22|23|54)...$/.test(state);
};

const isRefusedConnection = (error: unknown): boolean => typeof error === "object" && error !== null && "severity" in error && error.severity === "FATAL";
