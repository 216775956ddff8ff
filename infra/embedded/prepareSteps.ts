/** The real steps, for `up` and for the commands of the same names. */
import { makePostgresLogins } from "#infra/logins/postgresLogins.ts";
import { servedBy } from "#shared/contracts/tiers.ts";
import { migrateDatabase } from "#shared/db/migrate.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { trainLocalModels } from "#workers/backends/local/train.ts";

import { withoutPassword } from "./locateServer.ts";
import type { PrepareSteps } from "./prepare.ts";
import { SetupError } from "./setupError.ts";

export const prepareSteps: PrepareSteps = {
  topology: async (url, { prefix, tiers, completionsMaxAgeMs, streamsGib, streamReplicas }, update, login) => {
    const nats = await connectNats({ url, name: "inferctl", ...login }).catch((err: unknown) => {
      throw new SetupError(`no usable NATS server at ${withoutPassword(url)}: ${messageOf(err)}`, "Start it, or correct NATS_URL.", { cause: err });
    });
    try {
      await ensureTopology(nats, { prefix, tiers: servedBy(tiers), completionsMaxAgeMs, streamsGib, replicas: streamReplicas, update });
    } catch (err) {
      throw new SetupError(`NATS topology: ${messageOf(err)}`, "Correct what it names; `inferctl topology --update` changes existing streams.", { cause: err });
    } finally {
      await nats.close();
    }
  },
  migrations: async (url, passwordOf) => {
    const applied = await migrateDatabase(url).catch((err: unknown) => {
      throw new SetupError(`database migrations: ${messageOf(err)}`, "Correct what it names, then run `inferctl migrate`.", { cause: err });
    });
    if (passwordOf !== undefined) await makePostgresLogins(url, passwordOf);
    return applied;
  },
  localModels: (dir, onProgress) =>
    trainLocalModels({ dir, onProgress }).catch((err: unknown) => {
      throw new SetupError(`local models: ${messageOf(err)}`, `Free some disk space, or set INFER_LOCAL_MODELS_DIR to a folder that you can write (now ${dir}).`, { cause: err });
    }),
};

const messageOf = (err: unknown): string => (err instanceof Error ? err.message : String(err));
