import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { withOwnSecret } from "#infra/embedded/ownSecret.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { makePool } from "#shared/db/pool.ts";
import type { Rights } from "#shared/tenancy/database.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

import { EXIT_USAGE } from "./command.ts";
import { serverUrl } from "./serverUrl.ts";

/** Above what a report may take. */
const MOST_MS = 150_000;

/** With the rights of whoever runs the service, on the database that the environment names or that `inferctl up` started. */
export async function withTenancy<T>(environment: Environment, use: (rights: Rights) => Promise<T>): Promise<T> {
  const pool = makePool(serverUrl("postgres", environment, openHome(environment)), "inferctl", () => undefined, { answerTimeoutMs: MOST_MS }); // the query that it breaks says so
  try {
    return await use({ pool, tenantId: null });
  } catch (error) {
    throw explained(error);
  } finally {
    await pool.end();
  }
}

/** What API keys are checked with. */
export const keyPepper = (environment: Environment): Buffer => secretKey(environment, "api-keys");

/** Of INFER_SECRET, for one use. */
export function secretKey(environment: Environment, use: Parameters<typeof subkey>[1]): Buffer {
  const secret = withOwnSecret(environment, openHome(environment), { makes: false })["INFER_SECRET"];
  if (!secret) throw new SetupError("INFER_SECRET is not set, and keys are checked with it, and webhooks signed", "Set it as the gateway has it; `inferctl up` makes one of its own.", { exitCode: 78 });
  return subkey(secret, use);
}

const nextStepAfter = ({ code, publicMessage }: AppError): string => {
  if (code !== "not_found") return "Correct it and try again.";
  return publicMessage.startsWith("there is no tenant") ? "See: inferctl tenants list" : "The same command with `list` says what there is.";
};

function explained(error: unknown): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.code === "database_unavailable") return new SetupError(`${error.message}: ${error.cause instanceof Error ? error.cause.message : String(error.cause)}`, "Is Postgres up, with our tables? See: inferctl status; inferctl migrate", { cause: error });
  return new SetupError(error.publicMessage, nextStepAfter(error), { exitCode: EXIT_USAGE, cause: error });
}
