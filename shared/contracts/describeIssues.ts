import type { z } from "zod";

import { AppError } from "./errors.ts";
import { storable } from "./text.ts";

/** A caller can make as many mistakes as a body has bytes: an answer names the first few, and quotes little, as text that the audit can hold. */
const MOST_PROBLEMS = 8;
const LONGEST_PROBLEM = 200;
export function inOneLine(problems: readonly string[]): string {
  const shown = problems.slice(0, MOST_PROBLEMS).map((problem) => (problem.length > LONGEST_PROBLEM ? `${problem.slice(0, LONGEST_PROBLEM)}…` : problem));
  return storable([...shown, ...(problems.length > MOST_PROBLEMS ? [`and ${problems.length - MOST_PROBLEMS} more`] : [])].join("; "));
}

export const issueLines = (error: z.ZodError): string[] => error.issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`));
/** Says what is wrong and where. */
export const describeIssues = (error: z.ZodError): string => inOneLine(issueLines(error));

/** What a caller did wrong: `invalid_unicode` when text cannot be stored, else `invalid_request`. */
export function badRequest(error: z.ZodError): AppError {
  const isUnicode = error.issues.some((issue) => issue.code === "custom" && issue.params?.["code"] === "invalid_unicode");
  return new AppError(isUnicode ? "invalid_unicode" : "invalid_request", describeIssues(error), { cause: error });
}
