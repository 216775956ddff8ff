/** Test code: a receiver of webhooks, a real HTTP server that notes what comes and answers as a script says. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { waitUntil } from "#infra/embedded/waitUntil.ts";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
/** Answers, or keeps it open. `nth`: of this path, from 1. */
export type Answer = (res: ServerResponse, nth: number) => void;

export interface WebhookReceiver {
  readonly url: (path: string) => string;
  /** What a path answers from now on; 204 by default. */
  readonly answer: (path: string, answer: Answer) => void;
  readonly received: (path: string) => readonly Received[];
  /** Waits for so many at a path. */
  readonly until: (path: string, count: number, deadlineMs?: number) => Promise<readonly Received[]>;
  readonly close: () => Promise<void>;
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const all: Received[] = [];
  const answers = new Map<string, Answer>();
  const received = (path: string) => all.filter((one) => one.path === path);
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      const path = req.url ?? "";
      all.push({ path, headers: req.headers, body: Buffer.concat(chunks).toString("utf8") });
      (answers.get(path) ?? ((response) => response.writeHead(204).end()))(res, received(path).length);
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address() as AddressInfo;
  return {
    url: (path) => `http://127.0.0.1:${port}${path}`,
    answer: (path, answer) => void answers.set(path, answer),
    received,
    until: (path, count, deadlineMs = 15_000) => waitUntil(() => Promise.resolve(received(path).length >= count ? received(path) : undefined), { deadlineMs, describe: () => `${received(path).length} of ${count} webhooks at ${path}` }),
    close: () => new Promise((resolve) => { server.close(() => { resolve(); }); server.closeAllConnections(); }),
  };
}
