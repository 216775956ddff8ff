/** What of a request the semantic cache reads as a question, and where its answer lies for all who ask it in other words. Pure. */
import type { Input } from "#shared/contracts/chat.ts";
import { isEmbed } from "#shared/contracts/chat.ts";
import type { SemanticCache, TenantSettings } from "#shared/contracts/tenant.ts";

import { GUARD_VERSION, questionForm } from "./questionForm.ts";

/** What of the settings counts now: an evaluation of another guard says nothing of this one. */
export const semanticOf = ({ mode, semantic }: TenantSettings["cache"]): SemanticCache | null =>
  mode !== "off" && semantic?.guard_version === GUARD_VERSION ? semantic : null;

/** It was evaluated, and the guard has changed since. */
export const isOutdated = (cache: TenantSettings["cache"]): boolean => cache.mode !== "off" && cache.semantic !== undefined && semanticOf(cache) === null;

/**
 * The input with its question in its form, all else as it is. `null`: it is no text that asks something: tools, images, several
 * turns and texts to embed are not.
 */
export function inItsForm(input: Input): Input | null {
  if (typeof input === "string") return questionForm(input);
  if (isEmbed(input) || (input.tools?.length ?? 0) > 0) return null;
  const { messages } = input;
  const [asked, system, ...others] = messages.toReversed();
  if (asked?.role !== "user" || others.length > 0 || (system !== undefined && system.role !== "system" && system.role !== "developer")) return null;
  if (messages.some((message) => typeof message.content !== "string" || Object.keys(message).some((key) => key !== "role" && key !== "content"))) return null;
  const form = typeof asked.content === "string" ? questionForm(asked.content) : null;
  return form === null ? null : { ...input, messages: messages.with(-1, { ...asked, content: form }) };
}
