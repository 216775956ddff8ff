/** What has to exist before the roles can work: streams and consumers, tables, trained models. */
import type { NatsLogin } from "./natsLogin.ts";
import type { Settings } from "./settings.ts";

/** Each step is safe to repeat. Passed in, so that a test of `up` needs neither a schema nor minutes of training. */
export interface PrepareSteps {
  /** `update` changes streams that exist with other settings; without it they are an error. */
  readonly topology: (natsUrl: string, settings: Settings, update: boolean, login?: NatsLogin) => Promise<void>;
  /** Resolves to the number of migrations that were applied. With `passwordOf` each service has its login afterwards, by its name. */
  readonly migrations: (databaseUrl: string, passwordOf?: (name: string) => string) => Promise<number>;
  readonly localModels: (dir: string, onProgress: (line: string) => void) => Promise<{ readonly models: readonly string[]; readonly wasCached: boolean }>;
}
