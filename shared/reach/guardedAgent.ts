/** Connections to allowed addresses alone: judged as they are made, so that a name cannot resolve to something else after it was looked at. */
import { isIP, type LookupFunction } from "node:net";

import { Agent, buildConnector } from "undici";

import { addressesOf, type Allowance, problemOfAddress, problemOfAddresses } from "#shared/reach/target.ts";

/** Why no connection was made. */
export class RefusedTarget extends Error {
  override readonly name = "RefusedTarget";
}

const CONNECT_TIMEOUT_MS = 5_000;

/** `lookup`: how names are resolved. */
export interface Reach {
  readonly allowance: Allowance;
  readonly lookup: LookupFunction;
}

/** `keepAliveMs`: how long a connection stays open that nobody uses. */
export function makeGuardedAgent({ allowance, lookup }: Reach, keepAliveMs: number): Agent {
  const connectors = new Map(["http:", "https:"].map((protocol) => [protocol, buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup(protocol, allowance, lookup) })]));
  const connect: buildConnector.connector = (options, callback) => {
    const connector = connectors.get(options.protocol);
    // An address is not looked up.
    const problem = connector === undefined ? "must be https" : isIP(options.hostname) === 0 ? null : problemOfAddress(options.protocol, options.hostname, allowance);
    if (problem !== null) callback(new RefusedTarget(`the URL ${problem}`), null);
    else connector?.(options, callback);
  };
  return new Agent({ connect, keepAliveTimeout: keepAliveMs });
}

const guardedLookup = (protocol: string, allowance: Allowance, lookup: LookupFunction): LookupFunction => (hostname, options, callback) => {
  lookup(hostname, options, (error, found, family) => {
    const problem = error === null ? problemOfAddresses(protocol, { host: hostname, addresses: addressesOf(found) }, allowance) : null;
    if (problem === null) callback(error, found, family);
    else callback(new RefusedTarget(`the URL's host ${problem}`), "", 0);
  });
};
