import type { FaultCase } from "../faultCase.ts";
import { backends } from "./backends.ts";
import { brokers } from "./brokers.ts";
import { clocks } from "./clocks.ts";
import { cluster } from "./cluster.ts";
import { crashes } from "./crashes.ts";
import { disks } from "./disks.ts";
import { network } from "./network.ts";
import { powerLoss } from "./powerLoss.ts";
import { pressure } from "./pressure.ts";
import { resources } from "./resources.ts";
import { stores } from "./stores.ts";

/** In the order of the matrix. */
export const ALL_CASES: readonly FaultCase[] = [...crashes, ...disks, ...backends, ...brokers, ...clocks, ...cluster, ...network, ...powerLoss, ...pressure, ...resources, ...stores].sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
