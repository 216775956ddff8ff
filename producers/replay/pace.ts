/** When the next request is due. Pure, but for what it remembers of those before. */

/** `original`: as they were accepted, `speed` times as fast. `rate`: evenly. `max`: as fast as they are taken. */
export type Pace = { readonly kind: "original"; readonly speed: number } | { readonly kind: "rate"; readonly perS: number } | { readonly kind: "max" };

/** Of each request in turn, in milliseconds since the first. `acceptedAtMs`: epoch milliseconds as recorded; one that lies before an earlier one is due at once. */
export function makeSchedule(pace: Pace): (acceptedAtMs: number) => number {
  let firstAtMs: number | null = null;
  let count = 0;
  return (acceptedAtMs) => {
    firstAtMs ??= acceptedAtMs;
    const place = count++;
    switch (pace.kind) {
      case "original": return Math.max(0, acceptedAtMs - firstAtMs) / pace.speed;
      case "rate": return (place * 1_000) / pace.perS;
      case "max": return 0;
    }
  };
}

/** `2x`, `0.5x`; `null`: neither a number nor above 0. */
export function speedOf(text: string): number | null {
  const [, number] = /^(\d{1,6}(?:\.\d{1,6})?)x?$/.exec(text) ?? [];
  const speed = Number(number ?? 0);
  return speed > 0 ? speed : null;
}
