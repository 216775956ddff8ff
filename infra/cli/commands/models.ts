import { SetupError } from "#infra/embedded/setupError.ts";
import type { ModelStore } from "#shared/messaging/modelStore.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { type Command, EXIT_USAGE } from "../command.ts";
import { describeFloor, reportFloor } from "../describeFloor.ts";
import { requireFit, withModelStore } from "../modelStore.ts";
import { textTable } from "../textTable.ts";
import { describeModel } from "./train.ts";

export const models: Command = {
  summary: "Lists, shows, activates and rolls back the routing models that `inferctl train --publish` has put into NATS.",
  usage: "list | show [<version>] | activate <version> | rollback",
  details: ["list      every version, and which is active", "show      what a version promises, how it did, and how its floor stands since it was activated (default: the active one)", "activate  routers take it within seconds; activating the active one begins the watch over its floor anew", "rollback  to what was active before", "--json    for programs"],
  example: "inferctl models activate 20261124-1a2b3c4d",
  options: { json: { type: "boolean" } },
  maxPositionals: 2,
  run: ({ values, positionals: [verb, version] }, { environment, print }) => withModelStore(environment, async (store) => {
    const say = (value: object, forPeople: string) => { print(values["json"] === true ? JSON.stringify(value) : forPeople); };
    switch (verb ?? "") {
      case "list": {
        const [versions, active] = [await store.versions(), await store.active()];
        say({ versions, active }, versions.length === 0 ? "no model yet; make one with: inferctl train --publish" : textTable(["VERSION", "", "SINCE"], versions.map((one) => [one, ...(one === active?.version ? ["active", active.activated_at] : ["", ""])])));
        return 0;
      }
      case "show": {
        const active = await store.active();
        const model = await found(store, version ?? active?.version);
        const floor = reportFloor(model, active, (await store.floor(model.version)).watched);
        say({ ...model, floor }, `${describeModel(model)}\n\n${describeFloor(floor)}`);
        return 0;
      }
      case "activate": {
        const model = await found(store, version);
        requireFit(model, environment);
        const active = await store.activate(model.version);
        say(active, `model ${active.version} is active`);
        return 0;
      }
      case "rollback": {
        const before = (await store.active())?.previous.at(-1);
        if (before !== undefined) requireFit(await found(store, before), environment);
        const active = await store.rollback();
        if (active === null) throw new SetupError("there is nothing to go back to", "See: inferctl models list");
        say(active, `model ${active.version} is active again`);
        return 0;
      }
      default: throw new SetupError(verb === undefined ? "say what to do with the models" : `there is no "models ${verb}"`, "inferctl models --help", { exitCode: EXIT_USAGE });
    }
  }),
};

async function found(store: ModelStore, version: string | undefined): Promise<RoutingModelFile> {
  const model = version === undefined ? null : await store.get(version);
  if (model === null) throw new SetupError(version === undefined ? "no model is named and none is active" : `there is no model ${version}`, "See: inferctl models list", { exitCode: EXIT_USAGE });
  return model;
}
