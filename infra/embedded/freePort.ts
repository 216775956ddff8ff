/** Ports of 127.0.0.1. Between a check and its use another process may take the port, so a start can still fail. */
import { createServer } from "node:net";

import { SetupError } from "./setupError.ts";

export const LOOPBACK = "127.0.0.1";

/** Whether something could listen there now. */
export const isPortFree = async (port: number): Promise<boolean> => (await tryListen(port)) !== undefined;

/** Any port that the system gives; two calls in a row give different ones nearly always. */
export async function anyFreePort(): Promise<number> {
  const port = await tryListen(0);
  if (port === undefined) throw new SetupError(`no free port on ${LOOPBACK}`, "Close programs that listen on many ports.");
  return port;
}

/** A run of `count` ports that are all free: at `preferred` if possible, else somewhere above 20000. */
export async function chooseFreePorts(preferred: number, count: number, isFree: (port: number) => Promise<boolean> = isPortFree): Promise<number> {
  const candidates = [preferred, ...Array.from({ length: 200 }, (_, i) => 20_000 + ((preferred + i * 97) % 12_000))];
  for (const base of candidates) {
    if (base + count - 1 <= 65_535 && (await areFree(base, count, isFree))) return base;
  }
  throw new SetupError(`no ${count} free ports in a row on ${LOOPBACK}`, "Close programs that listen on many ports.");
}

async function areFree(base: number, count: number, isFree: (port: number) => Promise<boolean>): Promise<boolean> {
  for (let port = base; port < base + count; port += 1) {
    if (!(await isFree(port))) return false;
  }
  return true;
}

function tryListen(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : undefined));
    });
  });
}
