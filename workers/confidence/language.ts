/** Whether an answer is written in the writing system it was asked in: a cheap check for an answer in a wrong language. Pure. */

/** Those that one language's text does not mix with another's. */
const SCRIPTS = ["Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai", "Hangul", "Han", "Hiragana", "Katakana"] as const;
const EAST_ASIAN: ReadonlySet<string> = new Set(["Han", "Hiragana", "Katakana"]);
const PATTERNS = SCRIPTS.map((script) => [script, new RegExp(`\\p{Script=${script}}`, "gu")] as const);
/** Fewer letters say nothing of a language: a name, a formula. */
const LEAST_LETTERS = 20;

/** The script of most of the letters; `null` when there are too few. Japanese and Chinese count as one. */
function scriptOf(text: string): string | null {
  const counts = new Map<string, number>();
  for (const [script, pattern] of PATTERNS) {
    const group = EAST_ASIAN.has(script) ? "East Asian" : script;
    counts.set(group, (counts.get(group) ?? 0) + (text.match(pattern)?.length ?? 0));
  }
  const [most] = [...counts].sort((a, b) => b[1] - a[1]);
  const letters = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return most === undefined || letters < LEAST_LETTERS ? null : most[0];
}

export function isInAskedScript(asked: string, output: string): boolean {
  const [wanted, got] = [scriptOf(asked), scriptOf(output)];
  return wanted === null || got === null || wanted === got;
}
