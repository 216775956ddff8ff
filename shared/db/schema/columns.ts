/** Columns that several tables have. */
import { bigint, text, timestamp } from "drizzle-orm/pg-core";

import type { NanoUsd } from "#shared/contracts/money.ts";

export const key = { tenant_id: text().notNull(), request_id: text().notNull() };
export const nanoUsd = () => bigint({ mode: "number" }).$type<NanoUsd>();
export const time = () => timestamp({ withTimezone: true, mode: "string" });
