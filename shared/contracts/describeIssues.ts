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

/** Whether it is about text that cannot be stored, or an issue within it is: of a key, of a member of a union. */
export function isOfUnicode(issue: unknown): boolean {
  if (typeof issue !== "object" || issue === null) return false;
  return ("code" in issue && issue.code === "invalid_unicode") || Object.values(issue).some(isOfUnicode);
}

/** What a caller did wrong: `invalid_unicode` when text cannot be stored, else `invalid_request`. */
export function badRequest(error: z.ZodError): AppError {
  return new AppError(error.issues.some(isOfUnicode) ? "invalid_unicode" : "invalid_request", describeIssues(error), { cause: error });
}
