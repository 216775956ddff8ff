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

/** One line when this NATS version has a published hole, else undefined. Source: reliability.md S26, read 2026-11. */
export function natsAdvisory(version: string): string | undefined {
  const isFixed = isAtLeast(version, "2.12.0") ? isAtLeast(version, "2.12.6") : isAtLeast(version, "2.11.15");
  return isFixed ? undefined : `nats-server ${version} is affected by CVE-2026-33222; it listens on loopback only, but use 2.12.6 or newer elsewhere`;
}

const partsOf = (version: string): number[] => version.split(".").map(Number);
