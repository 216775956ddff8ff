import { percentExactly, percentOf } from "./figures.ts";
import { type Markup, markup } from "./markup.ts";

const [WIDTH_PX, HEIGHT_PX] = [132, 12];
/** From the cheapest tier to the dearest. */
const [LIGHT, DARK] = [[205, 224, 239], [24, 88, 146]] as const;

function tierColour(place: number, tiers: number): string {
  const share = tiers < 2 ? 1 : place / (tiers - 1);
  return `rgb(${LIGHT.map((from, i) => Math.round(from + share * ((DARK[i] ?? 0) - from))).join(",")})`;
}

/** Which share of requests each tier answered. Says the same in words, and shows the numbers where there is room for them. */
export function shareBar(shares: Readonly<Record<string, number>>, tiers: readonly string[]): Markup {
  const of = tiers.map((tier, place) => ({ tier, place, share: Number.isFinite(shares[tier]) ? (shares[tier] ?? 0) : 0 })).filter(({ share }) => share > 0);
  const words = of.map(({ tier, share }) => `${tier} ${percentExactly(share)}`).join(", ");
  const parts = of.map(({ place, share }, i) => {
    const x = WIDTH_PX * of.slice(0, i).reduce((sum, before) => sum + before.share, 0);
    return markup`<rect x="${x}" width="${Math.max(0.5, WIDTH_PX * share - 0.8)}" height="${HEIGHT_PX}" fill="${tierColour(place, tiers.length)}"/>`;
  });
  const figures = tiers.length <= 4 && markup`<span class="then">${tiers.map((tier) => percentOf(shares[tier] ?? 0, 0)).join(" · ")}</span>`;
  return markup`<svg class="bar" role="img" aria-label="${words}" width="${WIDTH_PX}" height="${HEIGHT_PX}"><title>${words}</title>${parts}</svg>${figures}`;
}

/** Which colour is which tier, cheapest first. */
export const tierKey = (tiers: readonly string[]): Markup =>
  markup`<ul class="key">${tiers.map((tier, place) => markup`<li><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" fill="${tierColour(place, tiers.length)}"/></svg>${String(place + 1)} ${tier}</li>`)}</ul>`;
