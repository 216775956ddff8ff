import { makeBrokerClock } from "#shared/messaging/brokerClock.ts";
import { streamOfBucket, tierBucket } from "#shared/messaging/topology.ts";

import type { Place } from "../../place.ts";
import { type Check, type Finding, ok, warning } from "../finding.ts";

export interface ClockLooked {
  readonly server: string;
  /** By how much this machine's clock is ahead of the server's. `null`: the server was not reached, which another check says, or does not tell its time to this user. */
  readonly aheadMs: number | null;
}

/** This machine against each server. Roles compare their own with NATS's, and log what differs. */
export const clocks: Check<Place> = {
  title: "clocks",
  run: async (place) => judgeClocks(await Promise.all([
    compared("NATS", async () => {
      const { jsm } = await place.nats();
      return async () => Date.parse((await jsm.streams.info(streamOfBucket(tierBucket(place.prefix).name))).ts ?? "");
    }),
    compared("Redis", async () => {
      const { redis } = await place.redis();
      return async () => {
        const [seconds, micros] = await redis.time();
        return Number(seconds) * 1_000 + Number(micros) / 1_000;
      };
    }),
    compared("Postgres", async () => {
      const { pool } = await place.postgres();
      return async () => (await pool.query<{ at_ms: number }>("SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS at_ms")).rows[0]?.at_ms ?? NaN;
    }),
  ])),
};

/** The first answers of a connection are slow. */
const LOOKS = 4;
async function compared(server: string, open: () => Promise<() => Promise<number>>): Promise<ClockLooked> {
  try {
    const { look, now } = makeBrokerClock(await open());
    for (let looks = 0; looks < LOOKS; looks += 1) await look();
    return { server, aheadMs: Date.now() - now() };
  } catch {
    return { server, aheadMs: null };
  }
}

/** What two machines that follow NTP do not differ by. */
const DIFFER_MS = 2_000;

export function judgeClocks(looked: readonly ClockLooked[]): Finding[] {
  const known = looked.flatMap(({ server, aheadMs }) => (aheadMs === null ? [] : [{ server, aheadMs }]));
  const wrong = known.filter(({ aheadMs }) => !(Math.abs(aheadMs) < DIFFER_MS));
  const right = known.filter((one) => !wrong.includes(one));
  const behind = looked.filter(({ aheadMs }) => aheadMs === null).map(({ server }) => server);
  return [
    ...(right.length === 0 ? [] : [ok(`this machine's is within ${Math.max(1, ...right.map(({ aheadMs }) => Math.ceil(Math.abs(aheadMs))))} ms of ${right.map(({ server }) => server).join(", ")}`)]),
    ...wrong.map(({ server, aheadMs }) => warning(`this machine's clock is ${(Math.abs(aheadMs) / 1_000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} that of ${server}`, "Have both follow a time server (NTP). Deadlines go by the clock of NATS, so nothing expires wrongly; times in logs and reports are off.")),
    ...(behind.length === 0 ? [] : [warning(`not compared with ${behind.join(", ")}, which cannot be reached or may not be asked for the time`, "Mend what their checks say; Redis tells its time to a user who may use TIME.")]),
  ];
}
