/** Columns that several tables have. */
import { bigint, customType, text, timestamp } from "drizzle-orm/pg-core";

import type { NanoUsd } from "#shared/contracts/money.ts";

export const key = { tenant_id: text().notNull(), request_id: text().notNull() };
export const nanoUsd = () => bigint({ mode: "number" }).$type<NanoUsd>();
export const time = () => timestamp({ withTimezone: true, mode: "string" });
/** JSON that may be a text alone: read as the driver has it, which is parsed. `jsonb()` would parse a text once more, and make a number of "42". */
export const jsonOrText = <T>() => customType<{ data: T }>({ dataType: () => "jsonb", fromDriver: (value) => value as T })();
