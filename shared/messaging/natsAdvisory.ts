import { isLoopback } from "#shared/runtime/loopback.ts";

/** One line when this version of the NATS server has a published hole; `null`: none that is known here. Fixed in 2.11.15 and 2.12.6. Pure. */
export function natsAdvisory(version: string): string | null {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const isFixed = major > 2 || minor > 12 || (minor === 12 && patch >= 6) || (minor === 11 && patch >= 15);
  return isFixed ? null : `nats-server ${version} is affected by CVE-2026-33222: use 2.12.6 or newer, or 2.11.15`;
}

export interface NatsUse {
  /** NATS_URL: of one server, or of several with commas between them. */
  readonly url: string;
  /** API keys are asked for, and nobody has said that such a server may be used all the same. */
  readonly refusesHole: boolean;
}
/** What a role does about a server of this version; `null`: nothing. On this machine's loopback strangers do not reach it. Pure. */
export function natsVerdict(version: string, { url, refusesHole }: NatsUse): { readonly action: "warn" | "refuse"; readonly problem: string } | null {
  const problem = natsAdvisory(version);
  const isLocal = url.split(",").every((one) => isLoopback(new URL(one.trim()).hostname.replace(/^\[|\]$/g, "")));
  if (problem === null || isLocal) return null;
  return refusesHole ? { action: "refuse", problem: `${problem}. With INFER_AUTH=keys it is not used, unless INFER_ALLOW_NATS_HOLE=yes` } : { action: "warn", problem };
}
