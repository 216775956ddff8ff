/** The console's HTTP server, without listening. */
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import type { Registry } from "prom-client";

import type { Callers } from "#shared/http/callers.ts";
import { readByCompiled, writeByCompiled } from "#shared/http/compiledRoutes.ts";
import { addErrorHandlers } from "#shared/http/errors.ts";
import { hostProblem } from "#shared/http/hostProblem.ts";
import { buildRoleServer, type Problems } from "#shared/runtime/roleServer.ts";

import { type ApiDeps, consoleApi } from "./api.ts";
import { pageRoutes, readPageFiles } from "./pageFiles.ts";

interface ConsoleDeps {
  readonly api: ApiDeps;
  readonly callers: Callers;
  readonly isKeyless: boolean;
  readonly pageFolder: string;
  readonly registry: Registry;
  readonly problems: Problems;
  readonly warnings?: Problems;
  readonly log: Logger;
}

export async function buildConsole({ api, callers, isKeyless, pageFolder, registry, problems, warnings, log }: ConsoleDeps): Promise<FastifyInstance> {
  const app = buildRoleServer(registry, problems, warnings);
  app.setValidatorCompiler(readByCompiled);
  app.setSerializerCompiler(writeByCompiled);
  addErrorHandlers(app, log);
  if (isKeyless) {
    app.addHook("onRequest", (request, _reply, next) => { next(request.url.startsWith("/console") ? hostProblem(request.hostname) : undefined); });
  }
  await app.register(async (guarded) => {
    guarded.addHook("onSend", (_request, reply, payload, next) => { next(null, (void reply.header("cache-control", "no-store"), payload)); });
    callers.guard(guarded);
    await guarded.register(consoleApi(api));
  }, { prefix: "/console/api" });
  await app.register(pageRoutes(readPageFiles(pageFolder)));
  return app;
}
