import { type Environment, openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { findDeadLetters, getDeadLetter, readDetails, type Wanted } from "#shared/deadLetters/deadLetters.ts";
import { markHandled, readHandled } from "#shared/deadLetters/handled.ts";
import { retryDeadLetter } from "#shared/deadLetters/retryDeadLetter.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { type Broker, brokerOver } from "#shared/messaging/openBroker.ts";

import { type Command, EXIT_UNAVAILABLE, EXIT_USAGE, sayer, wrongUse } from "../command.ts";
import { detailsText, lettersText } from "../deadLetterText.ts";
import { loginFor } from "../loginFor.ts";
import { serverUrl } from "../serverUrl.ts";
import { sinceMs } from "../since.ts";
import { withTenancy } from "../tenancy.ts";

const ACTOR = { kind: "inferctl" } as const;
const MOST_LISTED = 1_000;
const FILTERS = ["stream", "tenant", "reason", "since", "all"];

export const dlq: Command = {
  summary: "Dead letters: messages that were given up. Lists and shows them, sends their requests again, marks them as handled.",
  usage: "list [--stream <stream>] [--tenant <tenant>] [--reason <reason>] [--since <time or age>] [--all] | show <n> | retry <n> | discard <n> [--note <why>]",
  details: [
    `list       those that nobody has handled, the latest first, ${MOST_LISTED} at most`,
    "           --stream   REQUESTS, JOBS, RESULTS, COMPLETIONS, FEEDBACK, SHADOWS, ...: where the message was",
    "           --reason   an error code, as poison, late_result or invalid_json",
    "           --since    an ISO time, or an age as 7d or 12h",
    "           --all      handled ones too; needs no Postgres",
    "show       where the payload lies, the last error, what became of the request and what it cost; not the payload itself: it may be a prompt",
    "retry      publishes the original request again as `dlq-<n>` and marks the letter. Limits and budgets hold; the tenant's webhooks are told as of any",
    "           request. REQUESTS keeps a request for an hour: after that whoever asked must ask again. Safe to repeat",
    "discard    marks it as handled; streams delete nothing, so it is there until it is 30 days old",
    "retry and discard write a line into admin_audit: inferctl tenants history",
    "--json     for programs",
  ],
  example: "inferctl dlq list --tenant acme --reason poison --since 12h",
  options: { json: { type: "boolean" }, stream: { type: "string" }, tenant: { type: "string" }, reason: { type: "string" }, since: { type: "string" }, all: { type: "boolean" }, note: { type: "string" } },
  maxPositionals: 2,
  verbs: ["list", "show", "retry", "discard"],
  run: async ({ values, positionals: [verb, which] }, { environment, print }) => {
    const say = sayer({ values }, { print });
    const text = (name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);
    const misplaced = verb === "list" ? (values["note"] === undefined ? undefined : "note") : FILTERS.find((name) => values[name] !== undefined);
    if (misplaced !== undefined) throw wrongUse("dlq", `--${misplaced} does not go with ${verb ?? "no verb"}`);
    switch (verb ?? "") {
      case "list": {
        if (which !== undefined) throw wrongUse("dlq", `list takes no number; inferctl dlq show ${which}`);
        const wanted = wantedOf(text);
        const handled = values["all"] === true ? new Set<string>() : await withTenancy(environment, readHandled);
        const found = await withBroker(environment, (reader) => findDeadLetters(reader, wanted, { handled, most: MOST_LISTED }));
        say(found, lettersText(found, Date.now()));
        return 0;
      }
      case "show": {
        const details = await withBroker(environment, async (reader) => readDetails(reader, await getDeadLetter(reader, numberOf(which))));
        say(details, detailsText(details, Date.now()));
        return 0;
      }
      case "retry": {
        const { id, submitted, kept } = await withBroker(environment, async (broker) => {
          const found = await getDeadLetter(broker, numberOf(which));
          return { kept: found, ...(await retryDeadLetter(broker, found)) };
        });
        await withTenancy(environment, (rights) => markHandled(rights, ACTOR, kept, { action: "dead_letter.retry", retriedAs: id.request_id }));
        say({ ...id, submitted }, `${submitted === "accepted" ? "sent again" : "was sent again before"} as request ${id.request_id} of tenant ${id.tenant_id}; its outcome: GET /requests/${id.request_id}`);
        return 0;
      }
      case "discard": {
        const kept = await withBroker(environment, (reader) => getDeadLetter(reader, numberOf(which)));
        await withTenancy(environment, (rights) => markHandled(rights, ACTOR, kept, { action: "dead_letter.discard", note: text("note") }));
        say({ seq: kept.seq }, `dead letter ${kept.seq} is marked as handled`);
        return 0;
      }
      default: throw wrongUse("dlq", verb === undefined ? "say what to do with the dead letters" : `there is no "dlq ${verb}"`);
    }
  },
};

function numberOf(text: string | undefined): number {
  if (text === undefined || !/^[1-9]\d{0,14}$/.test(text)) throw wrongUse("dlq", `say which dead letter: its number in inferctl dlq list${text === undefined ? "" : `, not ${text}`}`);
  return Number(text);
}

function wantedOf(text: (name: string) => string | undefined): Wanted {
  const [stream, tenantId, since] = [text("stream"), text("tenant"), text("since")];
  if (stream !== undefined && !/^[A-Z_]{1,64}$/.test(stream)) throw wrongUse("dlq", "--stream: is no stream of ours, as REQUESTS or JOBS");
  if (tenantId !== undefined && !TenantId.safeParse(tenantId).success) throw wrongUse("dlq", "--tenant: is no id of a tenant");
  const atMs = since === undefined ? undefined : sinceMs(since, Date.now());
  if (Number.isNaN(atMs)) throw wrongUse("dlq", `--since must be an ISO time or an age such as 7d or 12h, not ${since ?? ""}`);
  return { stream, tenantId, reason: text("reason"), sinceMs: atMs };
}

/** Of the server that the environment names or that `inferctl up` started. */
async function withBroker<T>(environment: Environment, use: (broker: Pick<Broker, "js" | "streams" | "acks"> & { readonly prefix: string }) => Promise<T>): Promise<T> {
  const home = openHome(environment);
  const login = loginFor(environment, home);
  const nats = await connectNats({ url: serverUrl("nats", environment, home), name: "inferctl", ...login }).catch((error: unknown) => { throw unreachable("NATS", error); });
  try {
    const { js, streams, acks } = await brokerOver(nats, readSettings(environment, home).prefix, undefined, login?.inboxPrefix).catch((error: unknown) => { throw unreachable("JetStream", error); });
    return await use({ js, streams, acks, prefix: readSettings(environment, home).prefix }).finally(() => acks.close());
  } catch (error) {
    throw explained(error);
  } finally {
    await nats.close();
  }
}

const unreachable = (what: string, cause: unknown) =>
  new SetupError(`${what} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`, "Is it up, with its streams? See: inferctl status; inferctl topology", { exitCode: EXIT_UNAVAILABLE, cause });

function explained(error: unknown): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.isOutage) return unreachable(error.message, error.cause ?? error);
  return new SetupError(error.publicMessage, "See it with: inferctl dlq show <n>; where there is nothing to send again: inferctl dlq discard <n>", { exitCode: EXIT_USAGE, cause: error });
}
