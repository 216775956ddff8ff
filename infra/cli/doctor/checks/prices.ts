import type { CheckedPrice } from "#shared/prices/checkPrices.ts";
import { today } from "#shared/runtime/loadConfig.ts";

import { checkedPrices, fileOf } from "../../commands/prices.ts";
import type { Place } from "../../place.ts";
import { type Check, type Finding, orOk, problem, warning } from "../finding.ts";

export const prices: Check<Place> = {
  title: "prices",
  run: ({ environment }) => {
    const file = (option: "tiers" | "prices") => fileOf({ values: {} }, { environment }, option);
    return Promise.resolve().then(() => judgePrices(checkedPrices({ tiers_file: file("tiers"), prices_file: file("prices") }, today())));
  },
};

export const judgePrices = (checked: readonly CheckedPrice[]): readonly Finding[] =>
  orOk(checked.flatMap(({ owner, findings }) => findings.map(({ level, kind, message }) => (level === "problem" ? problem : warning)(`${owner}: ${kind.replaceAll("_", " ")}: ${message}`, "See inferctl prices check, and docs/prices.md."))),
    `${checked.length} prices are known, in force and plausible`);
