/** What views are given, and a question of the API narrowed to it. */
import type { ConsoleOverview } from "#shared/contracts/console.ts";

import { apiQuery, commonOf, type Filters } from "../pure/urlState.ts";
import { type Loaded, useApi } from "./api.ts";

export interface ViewProps {
  readonly filters: Filters;
  readonly zone: string;
  readonly overview: Loaded<ConsoleOverview>;
}

export function useFiltered<T>(name: string, { filters, zone }: Pick<ViewProps, "filters" | "zone">, more: Readonly<Record<string, string>> = {}): Loaded<T> {
  const common = commonOf(filters);
  const query = () => new URLSearchParams([...apiQuery(common, zone, Date.now()), ...Object.entries(more)]);
  return useApi<T>(`/console/api/${name}`, query, `${JSON.stringify([common, more])} ${zone}`);
}
