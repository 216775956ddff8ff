import type { FastifyError } from "fastify";
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import { eventsOf, placeOf, RequestEvent } from "#shared/contracts/requestEvents.ts";

import { tenantToSee } from "#shared/http/callers.ts";
import type { GetDesk } from "../desk.ts";
import { logged } from "#shared/http/errors.ts";
import { makeEventBody } from "../eventBody.ts";
import { explain, ofRequest } from "./requests.ts";

export const requestEventsRoute = ({ desk, log }: { desk: GetDesk; log: Logger }): FastifyPluginCallbackZod => (app, _options, done) => {
  const schema = {
    summary: "The steps of a request as they happen",
    description:
      "Server-sent events: `accepted`, then for each attempt `dispatched` and `attempt_finished`, and one last event that has the outcome's name (`completed`, `degraded`, `failed`, " +
      "`rejected`) and the record of `GET /requests/:id`; then the stream ends. What has happened comes first, whenever and at whichever gateway you ask, also when the request has ended. " +
      "Never a prompt. With `Last-Event-ID` only what came after that event; 204 after the last one, so that an `EventSource` asks no more. " +
      "A stream without an outcome ends at the request's deadline and a few seconds; then ask again. 503 `too_many_streams` when the gateway follows as many as it may, 429 `rate_limited` when " +
      "one tenant's are as many as are left for others; both with `retry-after`.",
    tags: ["inference"],
    ...ofRequest,
    querystring: ofRequest.querystring.extend({ explain }),
    headers: z.looseObject({ "last-event-id": z.string().optional() }),
    response: {
      200: { description: "One of these per event: `id`, `event` and, as one line of JSON, `data`.", content: { "text/event-stream": { schema: RequestEvent } } },
      204: z.undefined().describe("All was told before."), "4xx": ErrorReply, "5xx": ErrorReply,
    },
  };
  app.get("/requests/:id/events", { schema, config: { role: "read" } }, async (request, reply) => {
    const { params, query, headers } = request;
    const lastEventId = headers["last-event-id"];
    const { find, watches } = desk();
    const found = await find(params.id, tenantToSee(request.principal, query.tenant_id));
    if (found === null) throw new AppError("not_found", `there is no request ${params.id}`);
    if (found.kind === "done" && placeOf(lastEventId) === Infinity) return reply.code(204).send();
    const stream = makeEventBody();
    const state = { isOpen: false }; // `reply.sent` says so only at the stream's end
    const tell = (events: readonly RequestEvent[]) => {
      stream.send(events);
      if (state.isOpen) return;
      state.isOpen = true;
      void reply.type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no").send(stream.body as never); // a stream has no schema
    };
    const gone = new AbortController();
    reply.raw.once("close", () => { gone.abort(); });
    try {
      if (found.kind === "done") tell(eventsOf(found.completion, query).filter(({ id }) => placeOf(id) > placeOf(lastEventId)));
      else await watches.watch(found.id, { explain: query.explain, lastEventId, gone: gone.signal, tell });
    } catch (error) {
      if (!state.isOpen) throw error;
      logged(log, error as FastifyError, request); // the client asks again, and gets what is left
    } finally {
      stream.end();
    }
    return reply;
  });
  done();
};
