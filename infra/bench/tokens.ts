/** What a tokenizer costs a process, how long counting a prompt takes, and the longest that a hostile one can hold the event loop. `--help` says how to call it. */
import { parseArgs } from "node:util";

import { z } from "zod";

import { type CountTokens, openTokenCounter } from "#shared/tokens/openTokenCounter.ts";
import { Tokenizer } from "#shared/contracts/tokenizer.ts";

const HELP = `Opens tokenizers, each in its turn, and times how they count prompts, hostile ones too.

  npm run bench:tokens -- [<tokenizer> ...]

One or several of: ${Tokenizer.options.join(", ")} (default all). Example: npm run bench:tokens -- o200k_base`;
const UNITS = 64 * 1024;
const PROSE = "The quick brown fox jumps over the lazy dog, and nobody in 1984 saw it. ";
/** Characters that no piece before had: nothing of them is remembered. */
const rareRuns = Array.from({ length: UNITS }, (_, i) => (i % 65 === 64 ? "1" : String.fromCharCode(0x4e00 + ((i * 7_919 + ((i * i) % 131)) % 20_000)))).join("");
const PROMPTS: Readonly<Record<string, string>> = {
  "a mail of 1 KiB": PROSE.repeat(15).slice(0, 1_024),
  "prose of 64 KiB": PROSE.repeat(1_000).slice(0, UNITS),
  "rare characters in runs of 64": rareRuns,
  "a million letters": "a".repeat(1_000_000),
};

const rounded = (value: number): number => Math.round(value * 100) / 100;
function timed(count: CountTokens, tokenizer: Tokenizer, prompt: string): { readonly tokens: number | null; readonly ms: number } {
  const started = performance.now();
  return { tokens: count(tokenizer, prompt), ms: rounded(performance.now() - started) };
}

const { values, positionals } = parseArgs({ options: { help: { type: "boolean", default: false } }, allowPositionals: true });
const asked = z.array(Tokenizer).safeParse(positionals.length === 0 ? Tokenizer.options : positionals);
if (values.help || !asked.success) {
  process.stderr.write(`${HELP}\n`);
  process.exitCode = values.help ? 0 : 2;
}
for (const tokenizer of values.help ? [] : (asked.data ?? [])) {
  const before = process.memoryUsage.rss(), started = performance.now();
  const count = await openTokenCounter([tokenizer]);
  count(tokenizer, "Hi");
  process.stdout.write(`${tokenizer}: opened in ${Math.round(performance.now() - started)} ms, ${Math.round((process.memoryUsage.rss() - before) / 1e6)} MB of resident memory more\n`);
  for (const [name, prompt] of Object.entries(PROMPTS)) {
    const [first, ...later] = Array.from({ length: 5 }, () => timed(count, tokenizer, prompt));
    process.stdout.write(`  ${name}: ${first?.tokens === null ? "not counted" : `${first?.tokens ?? 0} tokens`}, ${first?.ms ?? 0} ms at first, then ${Math.min(...later.map(({ ms }) => ms))} ms\n`);
  }
}
