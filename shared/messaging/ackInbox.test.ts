import { headers, type MsgHdrs } from "@nats-io/transport-node";
import { expect, it } from "vitest";

import { AppError } from "#shared/contracts/errors.ts";

import { readPubAck } from "./ackInbox.ts";

const noResponders = (): MsgHdrs => headers(503, "No Responders");
const answer = (body: string, found?: MsgHdrs) => readPubAck({ string: () => body, ...(found === undefined ? {} : { headers: found }) });
const refusal = (err_code: number, description: string) => JSON.stringify({ type: "io.nats.jetstream.api.v1.pub_ack_response", error: { code: 400, err_code, description }, stream: "REQUESTS", seq: 0 });

it.each([
  ["an ack", '{"stream":"REQUESTS","seq":1}', "stored"],
  ["an ack of a cluster in a domain", '{"stream":"REQUESTS","domain":"hub","seq":9007199254740993}', "stored"],
  ["a taken subject", refusal(10_077, "maximum messages per subject exceeded"), "taken"],
  ["a full stream", refusal(10_077, "maximum bytes exceeded"), "full"],
])("reads %s", (_name, body, outcome) => {
  expect(answer(body)).toBe(outcome);
});

it.each([
  ["no stream for the subject", "", noResponders(), /run `inferctl topology`/],
  ["JetStream out of resources", refusal(10_023, "insufficient resources"), undefined, /10023 insufficient resources/],
  ["a message above the limit", refusal(10_054, "message size exceeds maximum allowed"), undefined, /10054/],
  ["an expected sequence that nobody sends here", refusal(10_071, "wrong last sequence"), undefined, /10071/],
])("takes %s for an outage: nobody's fault, and it is held", (_name, body, found, message) => {
  const outcome = answer(body, found);
  expect(outcome).toBeInstanceOf(AppError);
  expect(outcome).toMatchObject({ code: "broker_unavailable", isOutage: true, message: expect.stringMatching(message) as string });
});

it.each([[""], ["not json"], ["null"], ["[]"], ["1"]])("takes the answer %j, which is no ack, neither for stored nor for a crash", (body) => {
  const outcome = ((): unknown => {
    try {
      return answer(body);
    } catch (error) {
      return error;
    }
  })();
  expect(outcome).toBeInstanceOf(AppError);
});
