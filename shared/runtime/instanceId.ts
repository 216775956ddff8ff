import { randomBytes } from "node:crypto";

/** Unique among all processes; also a subject token. */
export const makeInstanceId = (role: string): string => `${role}-${randomBytes(4).toString("hex")}`;
