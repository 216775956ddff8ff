import { type Markup, markup } from "./markup.ts";
import type { Shape } from "./policyKinds.ts";

export interface GlyphPlace {
  readonly x: number;
  readonly y: number;
  /** About half its width. */
  readonly sizePx: number;
  readonly isHollow: boolean;
}

/** In the colour of its group; the hollow ones are filled with paper. */
export function glyph(shape: Shape, { x, y, sizePx: r, isHollow }: GlyphPlace): Markup {
  const outline = markup`<path d="${pathOf(shape, r)}" transform="translate(${x} ${y})"`;
  return isHollow
    ? markup`${outline} class="hollow" fill="#ffffff" stroke="currentColor" stroke-width="1.8"/>`
    : markup`${outline} fill="currentColor"/>`;
}

function pathOf(shape: Shape, r: number): Markup {
  switch (shape) {
    case "circle": return markup`M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
    case "square": return markup`M${-0.88 * r} ${-0.88 * r}h${1.76 * r}v${1.76 * r}h${-1.76 * r}z`;
    case "triangle": return markup`M0 ${-1.15 * r}L${1.05 * r} ${0.8 * r}H${-1.05 * r}z`;
    case "diamond": return markup`M0 ${-1.2 * r}L${1.2 * r} 0L0 ${1.2 * r}L${-1.2 * r} 0z`;
  }
}
