/** Colours of charts are those of the page, which has them for the light and for the dark scheme (style.css). */
export interface Theme {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly card: string;
  readonly accent: string;
  readonly good: string;
  readonly warn: string;
  readonly bad: string;
  readonly wait: string;
  /** By the tiers' order, cheapest first, over and over. */
  readonly tiers: readonly string[];
}

const NAMES = ["text", "muted", "line", "card", "accent", "good", "warn", "bad", "wait"] as const;
const TIER_COLOURS = 6;

/** `read`: the value of a custom property. */
export function themeOf(read: (property: string) => string): Theme {
  const named = Object.fromEntries(NAMES.map((name) => [name, read(`--${name}`).trim()])) as Record<(typeof NAMES)[number], string>;
  return { ...named, tiers: Array.from({ length: TIER_COLOURS }, (_, i) => read(`--tier-${i}`).trim()) };
}

export function tierColour({ tiers, muted }: Theme, all: readonly string[], tier: string | null): string {
  const place = tier === null ? -1 : all.indexOf(tier);
  return place < 0 ? muted : (tiers[place % tiers.length] ?? muted);
}
