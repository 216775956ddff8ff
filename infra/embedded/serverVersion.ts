/** Versions as servers print them, and the comparisons that the set-up needs. Pure. */

/** The first `1.2` or `1.2.3` in what a server printed for `--version`, e.g. `Redis server v=7.0.15 sha=…` → `7.0.15`. */
export function parseVersion(printed: string): string | undefined {
  const [, version] = /(?:^|[^\d.])(\d+(?:\.\d+){1,2}|\d+(?=(?:beta|rc|devel)))/.exec(printed) ?? [];
  return version;
}

/** Numeric, part by part; a missing part counts as 0, so `15` is at least `15.0`. */
export function isAtLeast(version: string, minimum: string): boolean {
  const [have, want] = [partsOf(version), partsOf(minimum)];
  for (const [i, wanted] of want.entries()) {
    const part = have[i] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

const partsOf = (version: string): number[] => version.split(".").map(Number);
