import { lookup } from "node:dns";

import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";
import { DeliveryStatus, NewEndpoint, type WebhookDelivery, type WebhookEndpoint } from "#shared/contracts/webhook.ts";
import { pick } from "#shared/runtime/loadConfig.ts";
import { listDeliveries, retryDelivery } from "#shared/webhooks/deliveries.ts";
import { createEndpoint, listEndpoints, removeEndpoint, rotateEndpoint, setEndpointStatus } from "#shared/webhooks/endpoints.ts";
import { allowanceOf, problemOfTarget } from "#shared/reach/target.ts";

import { type Command, sayer, wrongUse } from "../command.ts";
import { secretKey, withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";

const ACTOR = { kind: "inferctl" } as const;
const MOST_LISTED = 1_000;
const Reach = pick("INFER_AUTH", "INFER_WEBHOOK_ALLOW").transform((env) => allowanceOf(env.INFER_WEBHOOK_ALLOW, { isKeyless: env.INFER_AUTH === "keyless" }));

export const webhooks: Command = {
  summary: "Webhook endpoints of a tenant, and what was sent to them.",
  usage: "list | add <url> | rotate|disable|enable|remove <endpoint id> | deliveries [--status pending|delivered|dead] | retry <webhook id>, each with --tenant <tenant>",
  details: [
    "add         prints the secret, once; https, unless INFER_WEBHOOK_ALLOW or a set-up without keys allows more",
    "rotate      prints a new secret; for 24 hours events are signed with both",
    "disable     what falls due meanwhile is dead; see retry",
    "deliveries  the latest first; --status dead: what was given up on",
    "retry       sends it again, under the same webhook id",
    "--json      for programs",
  ],
  example: "inferctl webhooks add https://example.com/hook --tenant acme",
  options: { json: { type: "boolean" }, tenant: { type: "string" }, status: { type: "string" } },
  maxPositionals: 2,
  verbs: ["list", "add", "rotate", "disable", "enable", "remove", "deliveries", "retry"],
  run: ({ values, positionals: [verb, what] }, { environment, print }) => withTenancy(environment, async (rights) => {
    const say = sayer({ values }, { print });
    const { tenant, status } = values;
    if (typeof tenant !== "string") refuse("say whose webhooks: --tenant <tenant>");
    switch (verb ?? "") {
      case "list": {
        const endpoints = await listEndpoints(rights, tenant);
        say({ endpoints }, endpoints.length === 0 ? "no endpoint yet; make one with: inferctl webhooks add <url>" : listOf(endpoints));
        return 0;
      }
      case "add": {
        const parsed = NewEndpoint.safeParse({ url: what ?? refuse("say where to: an https URL") });
        if (!parsed.success) return refuse(inOneLine(issueLines(parsed.error)));
        const problem = await problemOfTarget(parsed.data.url, Reach.parse(environment), lookup);
        if (problem !== null) return refuse(`the URL ${problem}`);
        const made = await createEndpoint(rights, ACTOR, secretKey(environment, "webhooks"), tenant, parsed.data.url);
        say(made, `${made.secret}\n\nKeep it now: it is shown this once. Endpoint ${made.endpoint_id}; requests with "webhook": true tell it of their outcome.`);
        return 0;
      }
      case "rotate": {
        const rotated = await rotateEndpoint(rights, ACTOR, secretKey(environment, "webhooks"), tenant, endpointId());
        say(rotated, `${rotated.secret}\n\nKeep it now: it is shown this once. Until ${rotated.rotating_until ?? "now"} events are signed with the former one too.`);
        return 0;
      }
      case "disable": case "enable": {
        const endpoint = await setEndpointStatus(rights, ACTOR, tenant, endpointId(), verb === "enable" ? "active" : "disabled");
        say(endpoint, `endpoint ${endpoint.endpoint_id} is ${endpoint.status}`);
        return 0;
      }
      case "remove": {
        await removeEndpoint(rights, ACTOR, tenant, endpointId());
        say({ endpoint_id: what }, `endpoint ${endpointId()} is removed`);
        return 0;
      }
      case "deliveries": {
        const wanted = DeliveryStatus.optional().safeParse(status);
        if (!wanted.success) return refuse(`--status: one of ${DeliveryStatus.options.join(", ")}`);
        const deliveries = await listDeliveries(rights, tenant, { status: wanted.data, limit: MOST_LISTED });
        say({ deliveries }, deliveries.length === 0 ? "none" : tableOf(deliveries));
        return 0;
      }
      case "retry": {
        const delivery = await retryDelivery(rights, ACTOR, tenant, what ?? refuse("say which webhook to send again"));
        say(delivery, `${delivery.webhook_id} is sent again`);
        return 0;
      }
      default: return refuse(verb === undefined ? "say what to do with the webhooks" : `there is no "webhooks ${verb}"`);
    }

    function endpointId(): string {
      return what ?? refuse("say which endpoint: inferctl webhooks list");
    }
  }),
};

function refuse(message: string): never {
  throw wrongUse("webhooks", message);
}

const listOf = (endpoints: readonly WebhookEndpoint[]): string => textTable(["endpoint", "status", "created", "url"], endpoints.map(({ endpoint_id, status, created_at, url }) => [endpoint_id, status, created_at, url]));
const tableOf = (deliveries: readonly WebhookDelivery[]): string =>
  textTable(["webhook", "endpoint", "type", "status", "tries", "created", "last"], deliveries.map((one) => [one.webhook_id, one.endpoint_id, one.type, one.status, String(one.tries), one.created_at, one.last_error ?? (one.last_status === null ? "" : String(one.last_status))]));
