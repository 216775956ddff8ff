/** How a model's provider cuts text into tokens, where that is published. */
import { z } from "zod";

/** OpenAI's encodings, by their names in its library tiktoken. */
export const Tokenizer = z.enum(["o200k_base", "cl100k_base"]);
export type Tokenizer = z.infer<typeof Tokenizer>;
