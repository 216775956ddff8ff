import { openHome } from "#infra/embedded/homeFolder.ts";
import type { Environment } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { type ModelStore, openModelStore } from "#shared/messaging/modelStore.ts";

import { serverUrl } from "./serverUrl.ts";

/** Of the server that the environment names or that `inferctl up` started. */
export async function withModelStore<T>(environment: Environment, use: (store: ModelStore) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: "inferctl" });
  try {
    const store = await openModelStore(nats, readSettings(environment, home).prefix).catch((error: unknown) => {
      throw new SetupError(`the bucket of models cannot be opened: ${String(error)}`, "Create it with: inferctl topology", { cause: error });
    });
    return await use(store);
  } finally {
    await nats.close();
  }
}
