/** `/console` of the admin listener: passed on to the console, which is a process of its own and asks for keys itself. */
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { Agent, request as ask } from "undici";

import { AppError } from "#shared/contracts/errors.ts";
import { hostProblem } from "#shared/http/hostProblem.ts";

export interface ConsoleDeps {
  readonly consoleUrl: string;
  readonly isKeyless: boolean;
  readonly log: Logger;
}

/** Under way at once, those that follow requests live among them. */
const MOST_UNDER_WAY = 80;
const CONNECT_MS = 2_000;
const ANSWER_MS = 15_000;
const PASSED_ON = ["authorization", "accept", "accept-encoding", "if-none-match", "last-event-id"] as const;
const PASSED_BACK = ["content-type", "content-length", "content-encoding", "vary", "cache-control", "content-security-policy", "x-content-type-options", "referrer-policy", "www-authenticate", "retry-after", "x-accel-buffering", "etag", "location"] as const;

export const consoleRoutes = ({ consoleUrl, isKeyless, log }: ConsoleDeps): FastifyPluginCallback => (app, _options, done) => {
  const agent = new Agent({ connections: MOST_UNDER_WAY, connect: { timeout: CONNECT_MS }, headersTimeout: ANSWER_MS, bodyTimeout: 60_000 });
  app.addHook("onClose", () => agent.destroy());
  if (isKeyless) app.addHook("onRequest", (request, _reply, next) => { next(hostProblem(request.hostname)); });
  let underWay = 0;

  async function passOn({ headers, url }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (underWay >= MOST_UNDER_WAY) throw new AppError("overloaded", "too many look at the console through this gateway: try again later");
    underWay += 1;
    const gone = new AbortController();
    reply.raw.once("close", () => {
      underWay -= 1;
      gone.abort();
    });
    const answer = await ask(new URL(url, consoleUrl), {
      dispatcher: agent, signal: gone.signal,
      // It checks the name that it is called by, as has been done here.
      headers: { ...Object.fromEntries(PASSED_ON.flatMap((name) => (typeof headers[name] === "string" ? [[name, headers[name]]] : []))), host: "localhost" },
    }).catch((cause: unknown) => {
      if (!gone.signal.aborted) log.warn({ err: cause }, "the console does not answer");
      throw new AppError("console_unavailable", "the console does not answer: is its process up? `inferctl status` says so; INFER_CONSOLE_URL or INFER_CONSOLE_PORT say where it is", { cause });
    });
    for (const name of PASSED_BACK) {
      const value = answer.headers[name];
      if (value !== undefined) void reply.header(name, value);
    }
    answer.body.on("error", () => { reply.raw.destroy(); }); // it ended in the middle, or the caller has gone
    return reply.code(answer.statusCode).send(answer.body);
  }
  app.get("/console", passOn);
  app.get("/console/*", passOn);
  done();
};
