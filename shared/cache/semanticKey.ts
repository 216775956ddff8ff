/** What of a request the semantic cache reads as a question, and where its answer lies for all who ask it in other words. Pure. */
import type { Input } from "#shared/contracts/chat.ts";
import { isEmbed } from "#shared/contracts/chat.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { SemanticCache, TenantSettings } from "#shared/contracts/tenant.ts";

import { GUARD_VERSION, questionForm } from "./questionForm.ts";

/** What of the settings counts now: an evaluation of another guard says nothing of this one. */
export const semanticOf = ({ mode, semantic }: TenantSettings["cache"]): SemanticCache | null =>
  mode !== "off" && semantic?.guard_version === GUARD_VERSION ? semantic : null;

/** It was evaluated, and the guard has changed since. */
export const isOutdated = (cache: TenantSettings["cache"]): boolean => cache.mode !== "off" && cache.semantic !== undefined && semanticOf(cache) === null;

/**
 * The input with its question in its form, all else as it is. `null`: it is no text that asks something: tools, images, several
 * turns and texts to embed are not. Neither is one beside a task or a system message: what they want may be the very words.
 */
export function inItsForm({ input, task }: Pick<InferenceRequest, "input" | "task">): Input | null {
  if (task !== null) return null;
  if (typeof input === "string") return questionForm(input);
  if (isEmbed(input) || (input.tools?.length ?? 0) > 0) return null;
  const [asked, ...others] = input.messages;
  if (asked?.role !== "user" || others.length > 0 || Object.keys(asked).some((key) => key !== "role" && key !== "content")) return null;
  const form = typeof asked.content === "string" ? questionForm(asked.content) : null;
  return form === null ? null : { ...input, messages: [{ ...asked, content: form }] };
}
