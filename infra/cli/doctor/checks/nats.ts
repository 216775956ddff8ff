import { type ConsumerConfig, JetStreamApiError } from "@nats-io/jetstream";

import { servedBy } from "#shared/contracts/tiers.ts";
import { allSources, differences } from "#shared/messaging/ensureTopology.ts";
import { natsAdvisory, natsVerdict } from "#shared/messaging/natsAdvisory.ts";
import { isSupported } from "#shared/messaging/connect.ts";
import { consumerOf, modelBucket, type Source, streamOfBucket, streamsOf, type StreamSpec, sweeperBucket, tierBucket } from "#shared/messaging/topology.ts";

import { type NatsPlace, type Place, Unreached } from "../../place.ts";
import { type Check, type Finding, ok, orOk, problem, warning } from "../finding.ts";

export interface NatsLooked {
  readonly url: string;
  readonly version: string;
  readonly mostBytes: number;
  readonly refusesHole: boolean;
}
/** `null`: it is not there. */
export interface StreamLooked { readonly name: string; readonly found: { readonly differs: readonly string[]; readonly bytes: number; readonly mostBytes: number } | null }
export interface ConsumerLooked {
  readonly stream: string;
  readonly durable: string;
  readonly found: { /** From what the topology says. */ readonly differs: readonly string[]; readonly behind: number; /** Of the oldest message that it has not done. */ readonly ageS: number } | null;
  /** Of the stream's messages. */
  readonly mostAgeS: number;
}

export const nats: Check<Place> = {
  title: "NATS",
  run: async (place) => {
    const { settings, prefix, environment } = place;
    const server = await place.nats().catch((error: unknown) => error as Error);
    if (server instanceof Error) return [problem(server.message, "Start it (inferctl up), or correct NATS_URL and the user's seed; it has to be nats-server 2.10 or newer with JetStream.")];
    const { info } = server.nats;
    const refusesHole = environment["INFER_AUTH"] === "keys" && environment["INFER_ALLOW_NATS_HOLE"] !== "yes";
    const specs = streamsOf(prefix, settings?.completionsMaxAgeMs ?? 0, { replicas: settings?.streamReplicas, gib: settings?.streamsGib });
    const tiers = settings === null ? [] : servedBy(settings.tiers);
    const streams = await Promise.all(specs.map((spec) => lookAtStream(server, spec, settings !== null)));
    const buckets = await Promise.all([tierBucket, sweeperBucket, modelBucket].map((bucket) => streamOfBucket(bucket(prefix).name)).map((name) => lookAtBucket(server, name)));
    const consumers = await Promise.all(allSources(prefix, tiers).map((source) => lookAtConsumer(server, source, specs)));
    return [
      ...judgeNats({ url: server.url, version: info?.version ?? "unknown", mostBytes: info?.max_payload ?? 0, refusesHole }),
      ...judgeStreams([...streams, ...buckets]), ...judgeConsumers(consumers),
    ];
  },
};

async function lookAtStream({ jsm }: NatsPlace, wanted: StreamSpec, areSettingsKnown: boolean): Promise<StreamLooked> {
  const info = await jsm.streams.info(wanted.name).catch(absent);
  return { name: wanted.name, found: info === null ? null : { differs: areSettingsKnown ? differences(wanted, info.config) : [], bytes: info.state.bytes, mostBytes: info.config.max_bytes } };
}
async function lookAtBucket({ jsm }: NatsPlace, name: string): Promise<StreamLooked> {
  const info = await jsm.streams.info(name).catch(absent);
  return { name, found: info === null ? null : { differs: [], bytes: info.state.bytes, mostBytes: info.config.max_bytes } };
}
async function lookAtConsumer({ jsm, streams }: NatsPlace, source: Source, specs: readonly StreamSpec[]): Promise<ConsumerLooked> {
  const { stream, durable } = source;
  const mostAgeS = (specs.find(({ name }) => name === stream)?.max_age ?? 0) / 1e9;
  const info = await jsm.consumers.info(stream, durable).catch(absent);
  if (info === null) return { stream, durable, found: null, mostAgeS };
  const behind = info.num_pending + info.num_ack_pending;
  // What has aged out is not there any more: the first one that is left is the oldest then. A filter may leave out what lies between.
  const first = behind === 0 ? null : (await streams.bySequence(stream, info.ack_floor.stream_seq + 1)) ?? (await streams.first(stream, ">"));
  const nowMs = Date.parse(info.ts ?? "") || Date.now();
  return { stream, durable, found: { differs: differences<ConsumerConfig>(consumerOf(source), info.config), behind, ageS: first === null ? 0 : Math.max(0, (nowMs - first.time.getTime()) / 1_000) }, mostAgeS };
}

const NOT_FOUND: readonly number[] = [10_059, 10_014];
function absent(error: unknown): null {
  if (error instanceof JetStreamApiError && NOT_FOUND.includes(error.code)) return null;
  throw new Unreached("NATS", error);
}

/** What messages of ours may have: inputs of up to 512 KiB with their saga, and vectors. */
const NEEDED_BYTES = 1024 ** 2;

export function judgeNats({ url, version, mostBytes, refusesHole }: NatsLooked): Finding[] {
  const verdict = natsVerdict(version, { url, refusesHole });
  const advisory = natsAdvisory(version);
  return [
    isSupported(version) ? ok(`nats-server ${version} at ${url}, with JetStream${verdict === null && advisory !== null ? ` (has CVE-2026-33222, and listens on loopback, which strangers do not reach)` : ""}`) : problem(`nats-server ${version} at ${url} is too old`, "Install nats-server 2.10 or newer, on the same store."),
    ...(verdict === null ? [] : [(verdict.action === "refuse" ? problem : warning)(verdict.problem, "Update the NATS server; docs/security.md says what the hole is.")]),
    ...(mostBytes < NEEDED_BYTES ? [problem(`max_payload is ${mostBytes} bytes, and messages may have ${NEEDED_BYTES}`, "Set max_payload: 1MB, or more, in the configuration of the NATS server.")] : []),
  ];
}

/** From the first share on an alert is sent, from the second on doors refuse new requests. */
const FILLING_SHARE = 0.7, FULL_SHARE = 0.9;

export function judgeStreams(looked: readonly StreamLooked[]): readonly Finding[] {
  const missing = looked.filter(({ found }) => found === null).map(({ name }) => name);
  const there = looked.flatMap(({ name, found }) => (found === null ? [] : [{ name, ...found, share: found.mostBytes > 0 ? found.bytes / found.mostBytes : 0 }]));
  const fullest = there.toSorted((a, b) => b.share - a.share)[0];
  const fill = ({ name, share }: { readonly name: string; readonly share: number }) => `${name} is ${(100 * share).toFixed(0)} % full`;
  return orOk([
    ...(missing.length === 0 ? [] : [problem(`streams or buckets are missing: ${missing.join(", ")}`, "Make them: inferctl topology")]),
    ...there.flatMap(({ name, differs }) => (differs.length === 0 ? [] : [problem(`stream ${name} has other settings: ${differs.join("; ")}`, "Change it to them with inferctl topology --update, or set the variables as they were.")])),
    ...there.flatMap((one) => (one.share < FILLING_SHARE ? [] : [(one.share < FULL_SHARE ? warning : problem)(`stream ${fill(one)}`, "See \"A stream fills\" in docs/runbook.md: bring back whoever reads it, or give it more room.")])),
  ], `${looked.length} streams and buckets are as they should be${fullest === undefined ? "" : `; ${fill(fullest)}`}`);
}

/** The same as the alert SinkBehind; what ages out at half of its stream's age is lost soon. */
const BEHIND_S = 600;
const LOST_SOON_SHARE = 0.5;

export function judgeConsumers(looked: readonly ConsumerLooked[]): readonly Finding[] {
  const missing = looked.filter(({ found }) => found === null).map(({ durable, stream }) => `${durable} on ${stream}`);
  const late = looked.flatMap(({ stream, durable, found, mostAgeS }) => (found === null || found.behind === 0 || found.ageS < BEHIND_S ? [] : [{ stream, durable, ...found, isLostSoon: found.ageS > LOST_SOON_SHARE * mostAgeS }]));
  const behind = looked.reduce((sum, { found }) => sum + (found?.behind ?? 0), 0);
  return orOk([
    ...(missing.length === 0 ? [] : [problem(`consumers are missing: ${missing.join(", ")}`, "Make them: inferctl topology")]),
    ...looked.flatMap(({ stream, durable, found }) => (found === null || found.differs.length === 0 ? [] : [problem(`consumer ${durable} on ${stream} has other settings: ${found.differs.join("; ")}`, "Set it to them: inferctl topology")])),
    ...late.map(({ stream, durable, behind: count, ageS, isLostSoon }) => (isLostSoon ? problem : warning)(
      `${durable} is ${count} messages and ${Math.round(ageS)} s behind on ${stream}${isLostSoon ? ", which forgets them soon" : ""}`, "Is its role up and ready? inferctl status; docs/operations.md says what else may hold it up.")),
  ], `${looked.length} consumers, ${behind === 0 ? "none of them behind" : `${behind} messages under way`}`);
}
