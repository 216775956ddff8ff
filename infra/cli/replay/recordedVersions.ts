/** What recorded requests were decided by, by version: from files where some are named, else from the NATS server that keeps them. Reads alone, and connects when something is first asked for. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { inOneLine } from "#shared/contracts/describeIssues.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { openModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import { openTierFileStore } from "#shared/messaging/tierFileStore.ts";
import { readTierFile } from "#shared/runtime/loadConfig.ts";
import { readModel } from "#shared/runtime/readModel.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";

import { EXIT_USAGE } from "../exitCodes.ts";
import { serverUrl } from "../serverUrl.ts";
import { replayLogin } from "./replayLogin.ts";

export interface VersionFiles {
  /** Tier files in YAML, and files or folders of models in JSON. None: of this kind NATS is asked. */
  readonly tiers: readonly string[];
  readonly models: readonly string[];
}
/** `null`: it is not kept, or cannot be used any more. */
export interface RecordedVersions {
  tierFile(version: string): Promise<TierFile | null>;
  model(version: string): Promise<RoutingModelFile | null>;
  close(): Promise<void>;
}

/** `note`: told of what is kept and cannot be used. Throws `SetupError` for a file that cannot be read, and when a server is needed and cannot be reached. */
export async function openRecordedVersions({ tiers, models }: VersionFiles, environment: Environment, note: (line: string) => void): Promise<RecordedVersions> {
  const tierFiles = new Map(tiers.map((path) => readTiers(path, environment)).map((file) => [tierFileVersion(file), file]));
  const modelFiles = new Map((await Promise.all(models.map(readModels))).flat().map((model) => [model.version, model]));
  let opened: Promise<Stores> | undefined;
  const stores = (): Promise<Stores> => (opened ??= openStores(environment));
  return {
    async tierFile(version) {
      if (tiers.length > 0) return tierFiles.get(version) ?? null;
      const found = await (await stores()).tierFiles.get(version);
      if (found === null || "file" in found) return found?.file ?? null;
      note(found.problem);
      return null;
    },
    async model(version) {
      if (models.length > 0) return modelFiles.get(version) ?? null;
      return (await stores()).models.get(version).catch((error: unknown) => {
        if (!(error instanceof UnreadableModel)) throw error;
        note(error.message);
        return null;
      });
    },
    async close() {
      await (await opened)?.close();
    },
  };
}

type Stores = Awaited<ReturnType<typeof openStores>>;
async function openStores(environment: Environment) {
  const home = openHome(environment);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: "inferctl", ...replayLogin(environment, home, "replay") }).catch((error: unknown) => {
    throw new SetupError(`NATS, which keeps the tier files and models that were decided by, cannot be reached: ${String(error)}`, "Is it up? See: inferctl status; or name files: --tiers FILE --models FOLDER.", { cause: error });
  });
  try {
    const { prefix } = readSettings(environment, home);
    return { tierFiles: await openTierFileStore(nats, prefix), models: await openModelStore(nats, prefix), close: () => nats.close() };
  } catch (error) {
    await nats.close();
    throw new SetupError(`the bucket of models cannot be opened: ${String(error)}`, "Create it with: inferctl topology; or name files: --tiers FILE --models FOLDER.", { cause: error });
  }
}

function readTiers(path: string, environment: Environment): TierFile {
  const read = readTierFile({ tiersFile: path, pricesFile: environment["INFER_PRICES_FILE"] ?? "infra/config/prices.yaml" }, { acceptsOver: true });
  if ("problems" in read) throw new SetupError(`${path} cannot be used: ${inOneLine(read.problems)}`, "Name the tier file as routers had it, with --tiers.", { exitCode: EXIT_USAGE });
  return read.file;
}

/** Of a file, or of all files `*.json` of a folder. */
async function readModels(path: string): Promise<RoutingModelFile[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [modelIn(path, await readFile(path, "utf8"))];
    const names = (await readdir(path)).filter((name) => name.endsWith(".json")).sort();
    return await Promise.all(names.map(async (name) => modelIn(join(path, name), await readFile(join(path, name), "utf8"))));
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError(`cannot read ${path}: ${String(error)}`, "Name a file that `inferctl train --out` has written, or a folder of such files, with --models.", { exitCode: EXIT_USAGE, cause: error });
  }
}

function modelIn(path: string, text: string): RoutingModelFile {
  const read = readModel(JSON.parse(text));
  if ("problems" in read) throw new SetupError(`${path} is no routing model that can be used: ${inOneLine(read.problems)}`, "Take the file as `inferctl train --out` wrote it.", { exitCode: EXIT_USAGE });
  return read.model;
}
