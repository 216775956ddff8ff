/** The most tokens that one call can be made of: what a budget holds for it, and the most that it is charged for. Pure. */
import { bytesOf, type Input } from "./chat.ts";
import type { TokenCount } from "./rates.ts";
import { type AskedShape, askedShape } from "./terms.ts";
import { type BackendConfig, mostOutputTokens } from "./tiers.ts";

/** Room for a chat template, in tokens. */
const TEMPLATE_TOKENS = 64;
/** What a provider writes before the tools: 346 to 804 tokens, by the model (docs.claude.com, "Tool use", pricing); the tools themselves count by their bytes. */
const TOOLS_TOKENS = 1_024;

/**
 * No byte-pair encoding has more tokens than the text has bytes, whatever the model. What is only a link in the request (an image, a
 * file) may be more: then the bound is too low, and so is what is charged.
 */
export const mostTokensOf = (backend: BackendConfig, input: Input): Pick<TokenCount, "input_tokens" | "output_tokens"> => mostTokensFor(backend, bytesOf(input), askedShape(input));

/** The same without the input itself: by its bytes and what else counts. */
export const mostTokensFor = (backend: BackendConfig, inputBytes: number, asked: AskedShape | undefined): Pick<TokenCount, "input_tokens" | "output_tokens"> => ({
  input_tokens: inputBytes + systemBytes(backend) + TEMPLATE_TOKENS + (asked?.has_tools === true ? TOOLS_TOKENS : 0),
  output_tokens: Math.min(mostOutputTokens(backend), asked?.max_output_tokens ?? Infinity),
});

const systemBytes = (backend: BackendConfig): number => ("system" in backend && backend.system !== undefined ? Buffer.byteLength(backend.system) : 0);
