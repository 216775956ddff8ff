/**
 * How many processes decide about rate limits: each says over a core subject that it is there, and hears all others and itself.
 * One is forgotten after some beats of our own without one of its: where NATS is away, nobody is.
 */
import type { NatsConnection } from "@nats-io/transport-node";

import { every } from "#shared/runtime/lifecycle.ts";

import { admittersOf, admitterSubject } from "./topology.ts";

const BEAT_MS = 1_000;
const MISSES = 5;

export interface Roll {
  heard(name: string): void;
  /** With ourselves. */
  readonly count: () => number;
}
/** Pure but for what it has heard. `onNew`: of somebody who was not known. */
export function makeRoll(own: string, onNew: () => void): Roll {
  const missed = new Map<string, number>();
  return {
    heard(name) {
      if (name !== own) {
        if (!missed.has(name)) onNew();
        missed.set(name, 0);
        return;
      }
      for (const [other, misses] of missed) {
        if (misses >= MISSES) missed.delete(other);
        else missed.set(other, misses + 1);
      }
    },
    count: () => 1 + missed.size,
  };
}

/** `instance`: of this process. Ends with the signal. */
export function followAdmitters(nats: NatsConnection, { prefix, instance, signal }: { readonly prefix: string; readonly instance: string; readonly signal: AbortSignal }): () => number {
  const own = admitterSubject(prefix, instance);
  const beat = () => { if (!nats.isClosed()) nats.publish(own); };
  const roll = makeRoll(own, beat); // whoever is new knows of nobody yet
  const subscription = nats.subscribe(admittersOf(prefix), { callback: (error, { subject }) => { if (error === null) roll.heard(subject); } });
  signal.addEventListener("abort", () => { subscription.unsubscribe(); }, { once: true });
  beat();
  every(BEAT_MS, signal, beat);
  return roll.count;
}
