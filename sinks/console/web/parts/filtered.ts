/** What views are given, and a question of the API narrowed to it. */
import type { ConsoleOverview } from "#shared/contracts/console.ts";

import { apiQuery, commonOf, type Filters } from "../pure/urlState.ts";
import { type Loaded, useApi } from "./api.ts";

export interface ViewProps {
  readonly filters: Filters;
  readonly zone: string;
  readonly overview: Loaded<ConsoleOverview>;
}

export function useFiltered<T>(name: string, { filters, zone }: Pick<ViewProps, "filters" | "zone">): Loaded<T> {
  const common = commonOf(filters);
  return useApi<T>(`/console/api/${name}`, () => apiQuery(common, zone, Date.now()), `${JSON.stringify(common)} ${zone}`);
}
