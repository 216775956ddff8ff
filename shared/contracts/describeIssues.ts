import type { z } from "zod";

import { AppError } from "./errors.ts";

/** Says what is wrong and where, in one line. */
export const describeIssues = (error: z.ZodError): string =>
  error.issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`)).join("; ");

/** What a caller did wrong: `invalid_unicode` when text cannot be stored, else `invalid_request`. */
export function badRequest(error: z.ZodError): AppError {
  const isUnicode = error.issues.some((issue) => issue.code === "custom" && issue.params?.["code"] === "invalid_unicode");
  return new AppError(isUnicode ? "invalid_unicode" : "invalid_request", describeIssues(error), { cause: error });
}
