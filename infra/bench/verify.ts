/** How many recorded requests a second are decided again on one core, by CPU time, and where the time goes: `npm run bench:verify`. Events are read as the command reads them. */
import { verifyRequest } from "#router/evaluation/verify/verifyRequest.ts";
import { readAuditEvent } from "#shared/audit/readAuditEvent.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { makeVerifyWorld } from "./verifyWorld.ts";

const EVENTS = 4_000;
const ROUNDS = 5;

/** Requests for each second of CPU, the most of some rounds. */
function rateOf(run: (i: number) => unknown): number {
  const rates: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < EVENTS; i++) run(i);
    const { user, system } = process.cpuUsage(before);
    if (round > 0) rates.push((1e6 * EVENTS) / (user + system)); // the first one warms up
  }
  return Math.max(...rates);
}

function read(bytes: Buffer): Completion {
  const event = readAuditEvent(parseJson(bytes));
  if ("why" in event) throw new Error(event.what);
  return event.completion;
}

for (const traffic of ["typical", "mixed"] as const) {
  const world = makeVerifyWorld({ seed: 1, traffic });
  const lines = Array.from({ length: EVENTS }, () => Buffer.from(JSON.stringify(world.next())));
  const events = lines.map(read);
  const at = <T>(all: readonly T[], i: number): T => all[i] as T;
  const wrong = events.filter((event) => verifyRequest(event, world.versions).kind !== "same").length;
  const attempts = events.reduce((sum, event) => sum + event.attempts.length, 0) / EVENTS;
  const decisions = events.reduce((sum, event) => sum + event.decisions.length, 0) / EVENTS;
  const bytes = lines.reduce((sum, line) => sum + line.length, 0) / EVENTS;
  const verified = rateOf((i) => verifyRequest(at(events, i), world.versions));
  const parsed = rateOf((i) => parseJson(at(lines, i)));
  const checked = rateOf((i) => read(at(lines, i)));
  const all = rateOf((i) => verifyRequest(read(at(lines, i)), world.versions));
  const us = (rate: number) => (1e6 / rate).toFixed(1);
  process.stdout.write(`${traffic}: ${EVENTS} events of ${bytes.toFixed(0)} bytes, ${attempts.toFixed(2)} attempts and ${decisions.toFixed(2)} decisions each; ${wrong} do not verify
  verify alone              ${verified.toFixed(0)} requests/s (${us(verified)} µs)
  JSON alone                ${parsed.toFixed(0)} requests/s (${us(parsed)} µs)
  JSON and schema           ${checked.toFixed(0)} requests/s (${us(checked)} µs)
  JSON, schema and verify   ${all.toFixed(0)} requests/s (${us(all)} µs)
`);
}
