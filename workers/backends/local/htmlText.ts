/** What a reader sees of an HTML mail: no tags, scripts, styles or comments; entities resolved; blocks on lines of their own. */
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", copy: "©", reg: "®", trade: "™", bull: "•", middot: "·",
  ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", hellip: "…", pound: "£", euro: "€", cent: "¢",
};

const HIDDEN = /<!--[\s\S]*?-->|<(script|style|title)\b[\s\S]*?<\/\1\s*>/gi;
const BLOCK = /<\/?(?:p|div|br|tr|table|li|ul|ol|h[1-6]|hr|blockquote|center|form|option)\b[^>]*>/gi;
/** A tag starts with a letter, `/`, `!` or `?`, so that "a < b" stays. */
const TAG = /<[a-z/!?][^>]*>/gi;

export function htmlText(html: string): string {
  const text = html.replace(HIDDEN, "").replace(BLOCK, "\n").replace(TAG, "");
  return resolveEntities(text).replace(/[ \t\u00a0]+/g, " ").replace(/ ?\n ?/g, "\n").replace(/\n{3,}/g, "\n\n");
}

function resolveEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));?/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
    return code > 31 && code <= 0x10ffff ? String.fromCodePoint(code) : " ";
  });
}
