import { readFile } from "node:fs/promises";

import { SetupError } from "#infra/embedded/setupError.ts";
import { inOneLine } from "#shared/contracts/describeIssues.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { type Active, type ModelStore, UnreadableModel } from "#shared/messaging/modelStore.ts";
import { readModel } from "#shared/runtime/readModel.ts";

import { type Command, EXIT_USAGE, sayer, wrongUse } from "../command.ts";
import { describeFloor, reportFloor } from "../describeFloor.ts";
import { hasFloor, requireFit, withModelStore } from "../modelStore.ts";
import { textTable } from "../textTable.ts";
import { describeModel } from "./train.ts";

export const models: Command = {
  summary: "Lists, shows, imports, activates and rolls back routing models: what `inferctl train` makes and keeps in NATS.",
  usage: "list | show [<version>] [--classes] | import <file> | activate <version> | deactivate | rollback",
  details: [
    "list        every version, what it was made from, and which is active",
    "show        what a version promises, how it did, and how its floor stands since it was activated (default: the active one)",
    "--classes   its calibration by class of task, not over all of them",
    "import      puts a file of `inferctl train --out` into NATS, after checks; then activate it",
    "activate    routers take it within seconds; activating the active one begins the watch over its floor anew",
    "deactivate  no model: within seconds routers use the tier file's thresholds",
    "rollback    to what was active before; after deactivate, to the model before it",
    "--json      for programs",
  ],
  example: "inferctl models activate 20261124-1a2b3c4d",
  options: { json: { type: "boolean" }, classes: { type: "boolean" } },
  maxPositionals: 2,
  verbs: ["list", "show", "import", "activate", "deactivate", "rollback"],
  run: ({ values, positionals: [verb, argument] }, { environment, print }) => withModelStore(environment, async (store) => {
    const say = sayer({ values }, { print });
    if (values["classes"] === true && verb !== "show") throw wrongUse("models", "--classes goes with show alone");
    switch (verb ?? "") {
      case "list": {
        const versions = await Promise.all((await store.versions()).map((version) => listed(store, version)));
        const active = await store.active();
        say({ versions, active }, versions.length === 0 ? "no model yet; make one with: inferctl train --publish" : listOf(versions, active));
        return 0;
      }
      case "show": {
        const active = await store.active();
        const model = await found(store, argument ?? active?.version);
        const floor = reportFloor(model, active, (await store.floor(model.version)).watched);
        say({ model, floor }, `${describeModel(model, { byClass: values["classes"] === true })}\n\n${describeFloor(floor)}`);
        return 0;
      }
      case "import": {
        const model = await readModelFile(argument);
        await store.put(model);
        say({ version: model.version }, `model ${model.version} is stored; put it to work with: inferctl models activate ${model.version}`);
        return 0;
      }
      case "activate": {
        if (argument === undefined) throw new SetupError("say which version to activate", "See: inferctl models list", { exitCode: EXIT_USAGE });
        const model = await found(store, argument);
        requireFit(model, environment);
        const active = await store.activate(model.version);
        say(active, `model ${model.version} is active${withoutFloor(model)}`);
        return 0;
      }
      case "deactivate": {
        const active = await store.deactivate();
        if (active === null) throw new SetupError("no model is active", "See: inferctl models list");
        say(active, `${NONE}; back to ${active.previous.at(-1) ?? "it"} with: inferctl models rollback`);
        return 0;
      }
      case "rollback": {
        const before = (await store.active())?.previous.at(-1) ?? null;
        const model = before === null ? null : await found(store, before);
        if (model !== null) requireFit(model, environment);
        const active = await store.rollback();
        if (active === null) throw new SetupError("there is nothing to go back to", "See: inferctl models list; for no model at all: inferctl models deactivate");
        say(active, active.version === null ? NONE : `model ${active.version} is active again${model === null ? "" : withoutFloor(model)}`);
        return 0;
      }
      default: throw wrongUse("models", verb === undefined ? "say what to do with the models" : `there is no "models ${verb}"`);
    }
  }),
};
const NONE = "no model is active: the tier file's thresholds decide";
const withoutFloor = (model: RoutingModelFile): string => (hasFloor(model) ? "" : ", but no policy's floor was shown to hold: the tier file's thresholds decide");

/** By what versions can be told apart. */
type Listed = { readonly version: string } & (Pick<RoutingModelFile["data"], "rows" | "sources"> & Pick<RoutingModelFile, "target"> | { readonly problem: string });

async function listed(store: ModelStore, version: string): Promise<Listed> {
  const model = await store.get(version).catch((error: unknown) => {
    if (error instanceof UnreadableModel) return error;
    throw error;
  });
  if (model === null) return { version, problem: "it was taken out meanwhile" };
  if (model instanceof UnreadableModel) return { version, problem: model.message };
  return { version, rows: model.data.rows, target: model.target, sources: model.data.sources };
}

const MOST_SOURCES = 3;
function listOf(versions: readonly Listed[], active: Active | null): string {
  const namesOf = (sources: RoutingModelFile["data"]["sources"]) =>
    [...sources.slice(0, MOST_SOURCES).map(({ name }) => name), ...(sources.length > MOST_SOURCES ? [`and ${sources.length - MOST_SOURCES} more`] : [])].join(", ");
  const table = textTable(["VERSION", "", "SINCE", "ROWS", "TARGET", "MADE FROM"], versions.map((one) => [
    one.version, ...(one.version === active?.version ? ["active", active.activated_at] : ["", ""]),
    ...("problem" in one ? ["-", "-", `cannot be used; why: inferctl models show ${one.version}`] : [String(one.rows), String(one.target), namesOf(one.sources)]),
  ]));
  return active?.version === null ? `${table}\n\n${NONE}, since ${active.activated_at}` : table;
}

async function found(store: ModelStore, version: string | null | undefined): Promise<RoutingModelFile> {
  const named = version ?? null;
  const model = named === null ? null : await store.get(named);
  if (model === null) throw new SetupError(named === null ? "no model is named and none is active" : `there is no model ${named}`, "See: inferctl models list", { exitCode: EXIT_USAGE });
  return model;
}

async function readModelFile(file: string | undefined): Promise<RoutingModelFile> {
  if (file === undefined) throw wrongUse("models", "say which file to import");
  const text = await readFile(file, "utf8").catch((error: unknown) => { throw new SetupError(`cannot read ${file}: ${String(error)}`, "Name a file that `inferctl train --out` has written.", { exitCode: EXIT_USAGE, cause: error }); });
  const read = readModel(jsonOf(file, text));
  if ("problems" in read) throw notAModel(file, inOneLine(read.problems), read.problems.some((problem) => problem.startsWith("version: it was edited")) ? AS_EDITED : AS_TRAINED);
  return read.model;
}

function jsonOf(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw notAModel(file, `no whole JSON document: ${(error as Error).message}`);
  }
}

const AS_TRAINED = "Take the file as `inferctl train --out` wrote it, or train it anew.";
const AS_EDITED = "Write the version that is named into the file and import it again; or, if the change is not wanted, take the file as `inferctl train --out` wrote it.";
const notAModel = (file: string, problem: string, nextStep = AS_TRAINED) => new SetupError(`${file} is no routing model that can be used: ${problem}`, nextStep);
