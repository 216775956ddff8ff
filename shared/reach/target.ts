/**
 * Where our network connects for others: webhooks, whose URLs tenants choose, and models' servers, which the tier file names. They must
 * not reach what only our network reaches (SSRF): public addresses by https, and what INFER_WEBHOOK_ALLOW or INFER_BACKEND_ALLOW names.
 * Judged when a URL is read and, since a name may resolve to something else later, of the very address that each connection goes to.
 */
import type { LookupFunction } from "node:net";
import { BlockList, isIP } from "node:net";

/** Special-purpose blocks of IANA's registries, and multicast. */
const NOT_PUBLIC_V4 = blockOf([
  "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
  "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]);
/** All that is handed out as global unicast; mapped, translated, local, link-local and multicast addresses lie outside. */
const GLOBAL_V6 = blockOf(["2000::/3"]);
/** Within it: protocols (Teredo among them), documentation, and 6to4, which holds an IPv4 address. */
const NOT_PUBLIC_V6 = blockOf(["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]);

/** Nobody's server is there: this host, link-local (where clouds keep credentials), multicast, and the clouds' own addresses in private blocks. */
const NEVER_BY_NAME = blockOf(["0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "100.100.100.200", "::", "64:ff9b::/96", "fd00:ec2::254", "fe80::/10", "ff00::/8"]);

/** What is allowed beyond that, by http too: addresses, and names of hosts, which may resolve to any address at which somebody's server can be. */
export interface Allowance {
  readonly check: (address: string, family: "ipv4" | "ipv6") => boolean;
  readonly hosts?: ReadonlySet<string>;
}

/** `list`: networks, addresses and names of hosts, with commas between them. `isKeyless`: all callers are this machine's owner, who may listen on it. */
export function allowanceOf(list: string, { isKeyless }: { isKeyless: boolean }): Allowance {
  const entries = list.split(",").map((entry) => entry.trim().toLowerCase()).filter((entry) => entry !== "");
  const isNetwork = (entry: string) => isIP(entry.split("/")[0] ?? "") !== 0;
  const networks = blockOf([...entries.filter(isNetwork), ...(isKeyless ? ["127.0.0.0/8", "::1"] : [])]);
  return { check: (address, family) => networks.check(address, family), hosts: new Set(entries.filter((entry) => !isNetwork(entry))) };
}

/** Of networks and single addresses. */
function blockOf(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [network = "", bits] = entry.split("/");
    if (bits === undefined) list.addAddress(network, familyOf(network));
    else list.addSubnet(network, Number(bits), familyOf(network));
  }
  return list;
}
function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

const NOT_PUBLIC = "is not a public address";
const NEEDS_HTTPS = "must be https";

/** What is wrong with a connection to this address; `null`: nothing. The address itself is not repeated: it would tell what our network's names resolve to. */
export function problemOfAddress(protocol: string, address: string, allowance: Allowance, host: string | null = null): string | null {
  if (isIP(address) === 0 || address.includes("%")) return NOT_PUBLIC;
  const family = familyOf(address);
  const isNamed = host !== null && allowance.hosts?.has(host.toLowerCase()) === true;
  if (allowance.check(address, family) || (isNamed && !NEVER_BY_NAME.check(address, family))) return null;
  const isPublic = family === "ipv4" ? !NOT_PUBLIC_V4.check(address, family) : GLOBAL_V6.check(address, family) && !NOT_PUBLIC_V6.check(address, family);
  if (!isPublic) return NOT_PUBLIC;
  return protocol === "https:" ? null : NEEDS_HTTPS;
}

/** As far as the text says. The WHATWG parser has made dotted decimals of numbers, hex and octal by then. */
export function problemOfUrl(text: string, allowance: Allowance): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return "must be an https URL";
  if (url.username !== "" || url.password !== "") return "must not have a user or password in it";
  if (url.hash !== "") return "must not have a fragment";
  const host = hostOf(url);
  if (host.endsWith(".")) return "must not end its host name in a dot";
  return isIP(host) === 0 ? null : problemOfAddress(url.protocol, host, allowance);
}
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, "");

/** The same, and of the addresses that its name resolves to now. One that does not resolve is judged when it does. */
export async function problemOfTarget(text: string, allowance: Allowance, lookup: LookupFunction): Promise<string | null> {
  const problem = problemOfUrl(text, allowance);
  if (problem !== null) return problem;
  const url = new URL(text);
  if (isIP(hostOf(url)) !== 0) return null;
  const found = await new Promise<string[]>((resolve) => {
    lookup(hostOf(url), { all: true }, (_error, addresses) => { resolve(addressesOf(addresses)); });
  });
  return problemOfAddresses(url.protocol, { host: hostOf(url), addresses: found }, allowance);
}

/** A name may have several, and the connection takes any: all must be allowed. */
export function problemOfAddresses(protocol: string, { host, addresses }: { readonly host: string; readonly addresses: readonly string[] }, allowance: Allowance): string | null {
  for (const address of addresses) {
    const problem = problemOfAddress(protocol, address, allowance, host);
    if (problem !== null) return problem;
  }
  return null;
}

type Found = Parameters<Parameters<LookupFunction>[2]>[1] | undefined;
export const addressesOf = (found: Found): string[] => (found === undefined ? [] : typeof found === "string" ? [found] : found.map(({ address }) => address));
