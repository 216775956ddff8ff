const WIDTH = 24;
/** How far something is that has an end. Pure. */
export function progressBar(done: number, of: number): string {
  const share = of <= 0 ? 1 : Math.min(1, done / of);
  const full = Math.floor(share * WIDTH);
  return `[${"#".repeat(full)}${".".repeat(WIDTH - full)}] ${(100 * share).toFixed(0).padStart(3)} % ${done.toLocaleString("en")} of ${of.toLocaleString("en")}`;
}
