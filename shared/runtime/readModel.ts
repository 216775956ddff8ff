/** From JSON to a routing model that can be decided with, and the version that names its content. */
import { createHash } from "node:crypto";

import { issueLines } from "#shared/contracts/describeIssues.ts";
import { shapeProblems } from "#shared/contracts/modelShape.ts";
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";

/** Problems say where and what. `value`: as `JSON.parse` gave it; what the schema does not know belongs to the content too. */
export function readModel(value: unknown): { readonly model: RoutingModelFile } | { readonly problems: string[] } {
  const parsed = RoutingModelFile.safeParse(value);
  if (!parsed.success) return { problems: issueLines(parsed.error) };
  const problems = shapeProblems(parsed.data);
  if (problems.length > 0) return { problems };
  const { version } = parsed.data;
  const named = modelVersion(value as RoutingModelFile);
  if (version !== named) return { problems: [`version: it was edited: ${version} no longer names its content; if the change is wanted, set version to ${named} and import the file`] };
  return { model: parsed.data };
}

const DIGEST_LENGTH = 8;
/** Day of `created_at` and the beginning of the SHA-256 of all but these two fields, in whatever order its keys are. Pure. */
export function modelVersion({ version: _version, created_at, ...content }: RoutingModelFile): string {
  const digest = createHash("sha256").update(JSON.stringify(content, withSortedKeys)).digest("hex");
  return `${created_at.slice(0, 10).replaceAll("-", "")}-${digest.slice(0, DIGEST_LENGTH)}`;
}

const withSortedKeys = (_key: string, value: unknown): unknown =>
  (typeof value === "object" && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value);
