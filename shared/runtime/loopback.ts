import type { AddressInfo } from "node:net";

/** A name or address that only this machine answers to. Without a port, IPv6 without brackets. */
export const isLoopback = (host: string): boolean => host.toLowerCase() === "localhost" || host === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);

/**
 * Whether a server that listens at `bound` should refuse the name it was called by. One that only this machine reaches
 * is called by a loopback name; any other name is a web page whose name was pointed at this machine (DNS rebinding).
 */
export function isForeignHost(hostname: string, bound: AddressInfo | string | null): boolean {
  if (bound === null || typeof bound === "string" || !isLoopback(bound.address)) return false;
  return !isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
