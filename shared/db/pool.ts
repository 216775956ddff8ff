import { Pool } from "pg";

export interface PoolOptions {
  readonly statementTimeoutMs?: number;
  /** For who gives single transactions longer than the others. Default: a little more than `statementTimeoutMs`. */
  readonly answerTimeoutMs?: number;
}
/** What an answer takes beside its statement. */
const ON_THE_WAY_MS = 2_000;

/**
 * Every wait has a limit: by default Postgres and its client wait for ever. The server ends what takes too long itself; the client's own limit is for a
 * server that does not say anything any more. `onError` hears of idle connections that break.
 */
export function makePool(url: string, application: string, onError: (error: Error) => void, { statementTimeoutMs = 5_000, answerTimeoutMs = statementTimeoutMs + ON_THE_WAY_MS }: PoolOptions = {}): Pool {
  const pool = new Pool({
    connectionString: url,
    max: 4,
    application_name: `infer-${application}`,
    connectionTimeoutMillis: 3_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    query_timeout: answerTimeoutMs,
    options: `-c statement_timeout=${statementTimeoutMs} -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000`,
  });
  pool.on("error", onError); // without a listener a restart of Postgres would end the process
  // The pool listens to idle connections only; one in use that breaks would end the process too. Its query is rejected anyway.
  pool.on("connect", (client) => { client.on("error", () => undefined); });
  return pool;
}

/**
 * Whether Postgres refused the data itself: SQLSTATE class 22 or 23, or 54 for more than it can take at once. Anything else is an outage or a set-up problem:
 * it will pass, and no row is to blame.
 */
export const isBadRow = (error: unknown): boolean => {
  const state = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  return /^(?:22|23|54)...$/.test(state);
};
