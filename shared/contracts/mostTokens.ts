/** The most tokens that one call can be made of: what a budget holds for it, and the most that it is charged for. Pure. */
import { bytesOf, type Input, isEmbed } from "./chat.ts";
import type { TokenCount } from "./rates.ts";
import { type BackendConfig, mostOutputTokens } from "./tiers.ts";

/** Room for a chat template, in tokens. */
const TEMPLATE_TOKENS = 64;
/** What a provider writes before the tools: 346 to 804 tokens, by the model (docs.claude.com, "Tool use", pricing); the tools themselves count by their bytes. */
const TOOLS_TOKENS = 1_024;

/**
 * No byte-pair encoding has more tokens than the text has bytes, whatever the model. What is only a link in the request (an image, a
 * file) may be more: then the bound is too low, and so is what is charged.
 */
export const mostTokensOf = (backend: BackendConfig, input: Input): Pick<TokenCount, "input_tokens" | "output_tokens"> => ({
  input_tokens: bytesOf(input) + systemBytes(backend) + TEMPLATE_TOKENS + (hasTools(input) ? TOOLS_TOKENS : 0),
  output_tokens: Math.min(mostOutputTokens(backend), wantedOutputTokens(input)),
});

const wantedOutputTokens = (input: Input): number => (typeof input === "string" || isEmbed(input) ? Infinity : (input.max_output_tokens ?? Infinity));
const hasTools = (input: Input): boolean => typeof input !== "string" && !isEmbed(input) && (input.tools ?? []).length > 0;
const systemBytes = (backend: BackendConfig): number => ("system" in backend && backend.system !== undefined ? Buffer.byteLength(backend.system) : 0);
