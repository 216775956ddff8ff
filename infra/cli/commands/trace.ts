import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { makeFindRequest } from "#producers/gateway/findRequest.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { RequestId, TenantId } from "#shared/contracts/ids.ts";
import { makePool } from "#shared/db/pool.ts";
import { readErasures } from "#shared/erasure/readErasures.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";

import { type Command, EXIT_UNAVAILABLE, EXIT_USAGE, sayer, wrongUse } from "../command.ts";
import { loginFor } from "../loginFor.ts";
import { paintFor } from "../paint.ts";
import { serverUrl } from "../serverUrl.ts";
import { timelineOf } from "../trace/timeline.ts";
import { traceText } from "../trace/traceText.ts";
import { readUnderWay, type UnderWay, underWayText } from "../trace/underWay.ts";

type Traced = { readonly state: "done"; readonly completion: Completion } | ({ readonly state: "under_way" } & UnderWay);

export const trace: Command = {
  summary: "One request's timeline: its waits, each attempt, each decision with all candidates and why, and what it saved.",
  usage: "<request id> [--tenant <tenant>] [--json]",
  details: [
    "--tenant   whose request; needed where several tenants used the id",
    "--json     { state, timeline, completion }; of one that has no outcome yet { state, accepted_at, attempts }",
    "Bars are of time since it was accepted: dots wait, # runs. Neither what was asked nor what was answered is shown.",
    "COMPLETIONS is looked at first, then the audit: a request is found for as long as either keeps it.",
  ],
  example: "inferctl trace hello-1 --tenant demo",
  options: { tenant: { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 1,
  run: async ({ values, positionals: [requestId] }, { environment, screen, print }) => {
    const tenantId = typeof values["tenant"] === "string" ? values["tenant"] : null;
    if (requestId === undefined) throw wrongUse("trace", "say which request: its request_id");
    if (!RequestId.safeParse(requestId).success) throw wrongUse("trace", "what was given is no id of a request");
    if (tenantId !== null && !TenantId.safeParse(tenantId).success) throw wrongUse("trace", "--tenant: is no id of a tenant");
    const found = await look(environment, requestId, tenantId);
    const say = sayer({ values }, { print });
    if (found.state === "under_way") {
      say(found, underWayText(found, Date.now()));
      return 0;
    }
    const timeline = timelineOf(found.completion);
    const { output: _output, message: _message, input: _input, ...completion } = found.completion;
    say({ state: found.state, timeline, completion }, traceText(found.completion, timeline, { columns: screen.columns(), paint: paintFor(screen) }));
    return 0;
  },
};

/** On the servers that the environment names or that `inferctl up` started. */
async function look(environment: Environment, requestId: string, tenantId: string | null): Promise<Traced> {
  const home = openHome(environment);
  const { prefix } = readSettings(environment, home);
  const [natsUrl, databaseUrl] = [serverUrl("nats", environment, home), serverUrl("postgres", environment, home)];
  const nats = await connectNats({ url: natsUrl, name: "inferctl", ...loginFor(environment, home) }).catch((error: unknown) => { throw unreachable("NATS", error); });
  const pool = makePool(databaseUrl, "inferctl", () => undefined); // the query that it breaks says so
  try {
    const { streams, acks } = await brokerOver(nats, prefix).catch((error: unknown) => { throw unreachable("JetStream", error); });
    try {
      const found = await makeFindRequest({ streams, pool, prefix, erasures: await readErasures(pool).then((known) => () => known) })(requestId, tenantId);
      if (found === null) throw new SetupError(`there is no request ${requestId}${tenantId === null ? "" : ` of tenant ${tenantId}`}`, "Look at its spelling and tenant; what is older than the audit's retention is gone.");
      return found.kind === "done" ? { state: "done", completion: found.completion } : { state: "under_way", ...(await readUnderWay(streams, prefix, found)) };
    } finally {
      await acks.close();
    }
  } catch (error) {
    throw explained(error);
  } finally {
    await Promise.all([pool.end(), nats.close()]);
  }
}

const unreachable = (what: string, cause: unknown) =>
  new SetupError(`cannot look for the request: ${what} (${cause instanceof Error ? cause.message : String(cause)})`, "Are NATS and Postgres up? See: inferctl doctor", { exitCode: EXIT_UNAVAILABLE, cause });

function explained(error: unknown): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.code === "invalid_request") return new SetupError("several tenants used this id", "Say whose: --tenant <tenant>", { exitCode: EXIT_USAGE, cause: error });
  return error.isOutage ? unreachable(error.message, error.cause ?? error) : new SetupError(error.message, "Look with the inferctl of the version that runs.", { cause: error });
}
