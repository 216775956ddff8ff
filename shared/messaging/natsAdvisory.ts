/** One line when this version of the NATS server has a published hole; `null`: none that is known here. Fixed in 2.11.15 and 2.12.6. Pure. */
export function natsAdvisory(version: string): string | null {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const isFixed = major > 2 || minor > 12 || (minor === 12 && patch >= 6) || (minor === 11 && patch >= 15);
  return isFixed ? null : `nats-server ${version} is affected by CVE-2026-33222: use 2.12.6 or newer, or 2.11.15`;
}
