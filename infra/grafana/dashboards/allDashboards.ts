import type { Dashboard } from "./dashboard.ts";
import { money } from "./money.ts";
import { overview } from "./overview.ts";
import { reliability } from "./reliability.ts";
import { routing } from "./routing.ts";
import { tiers } from "./tiers.ts";

export const ALL_DASHBOARDS: readonly Dashboard[] = [overview, routing, tiers, money, reliability];
