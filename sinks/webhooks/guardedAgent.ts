/** Connections to allowed addresses alone: judged as they are made, so that a name cannot resolve to something else after it was looked at. */
import { isIP, type LookupFunction } from "node:net";

import { Agent, buildConnector } from "undici";

import { addressesOf, type Allowance, problemOfAddress, problemOfAddresses } from "#shared/webhooks/target.ts";

/** Why no connection was made. */
export class RefusedTarget extends Error {
  override readonly name = "RefusedTarget";
}

const CONNECT_TIMEOUT_MS = 5_000;

export function makeGuardedAgent(allowance: Allowance, lookup: LookupFunction): Agent {
  const connectors = new Map(["http:", "https:"].map((protocol) => [protocol, buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup(protocol, allowance, lookup) })]));
  const connect: buildConnector.connector = (options, callback) => {
    const connector = connectors.get(options.protocol);
    // An address is not looked up.
    const problem = connector === undefined ? "must be https" : isIP(options.hostname) === 0 ? null : problemOfAddress(options.protocol, options.hostname, allowance);
    if (problem !== null) callback(new RefusedTarget(`the URL ${problem}`), null);
    else connector?.(options, callback);
  };
  return new Agent({ connect, keepAliveTimeout: 4_000 });
}

const guardedLookup = (protocol: string, allowance: Allowance, lookup: LookupFunction): LookupFunction => (hostname, options, callback) => {
  lookup(hostname, options, (error, found, family) => {
    const problem = error === null ? problemOfAddresses(protocol, addressesOf(found), allowance) : null;
    if (problem === null) callback(error, found, family);
    else callback(new RefusedTarget(`the URL's host ${problem}`), "", 0);
  });
};
