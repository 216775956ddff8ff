import { expect, it } from "vitest";

import { readHeld } from "./heldMessage.ts";

/** What was answered is in `said`. */
function messageFrom(reply: string | undefined) {
  const said: string[] = [];
  const held = readHeld({ subject: "infer.job.small.t1.r1.1", data: new Uint8Array(), respond: (text) => { said.push(String(text)); return true; }, ...(reply === undefined ? {} : { reply }) });
  return { held, said };
}
const PLACE = { seq: 42, redelivered: true, info: { stream: "JOBS", deliveryCount: 3, timestampNanos: 1_795_990_842_421_000_000 } };

it.each([
  ["$JS.ACK.JOBS.worker-small.3.42.40.1795990842421000000.7"],
  ["$JS.ACK._.AAAA.JOBS.worker-small.3.42.40.1795990842421000000.7"],
  ["$JS.ACK.hub.AAAA.JOBS.worker-small.3.42.40.1795990842421000000.7.x9"],
])("reads where it comes from and how often it came of %s", (reply) => {
  expect(messageFrom(reply).held).toMatchObject(PLACE);
});

it.each([[undefined], ["_INBOX.a.b"], ["$JS.ACK.JOBS.worker-small.3"], ["$JS.API.JOBS.worker-small.3.42.40.1795990842421000000.7"]])("takes what is answered at %s for no message of a stream", (reply) => {
  expect(messageFrom(reply).held).toBeNull();
});

it("says what becomes of it once: the first word counts, and until then it can be kept", () => {
  const { held, said } = messageFrom("$JS.ACK.JOBS.worker-small.1.42.40.1795990842421000000.7");
  held?.working();
  held?.nak(250);
  held?.ack();
  held?.working();
  expect(said).toEqual(["+WPI", '-NAK {"delay":250000000}']);
});

it.each([["ack", "+ACK"], ["nak", "-NAK"]] as const)("answers %s as the protocol has it", (word, text) => {
  const { held, said } = messageFrom("$JS.ACK.JOBS.worker-small.1.42.40.1795990842421000000.7");
  held?.[word]();
  expect(said).toEqual([text]);
});

it("says why it was given up", () => {
  const { held, said } = messageFrom("$JS.ACK.JOBS.worker-small.1.42.40.1795990842421000000.7");
  held?.term("poison");
  expect(said).toEqual(["+TERM poison"]);
});
