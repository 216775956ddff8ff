/** Requests per second of the bare hops, on a NATS server of their own with the project's streams. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { startTestBroker } from "#infra/embedded/testBroker.ts";

import { startChildServer } from "./childServer.ts";

const WARM_UP_S = 3;

/** Requests per second, closed loop. */
export async function measureFloor(callers: number, seconds: number): Promise<number> {
  const broker = await startTestBroker([{ name: "small", slots: 32 }]);
  const router = await startChildServer("floorProcess.ts", ["router", broker.url]);
  const worker = await startChildServer("floorProcess.ts", ["worker", broker.url]);
  try {
    await callFor(broker.url, callers, WARM_UP_S);
    return await callFor(broker.url, callers, seconds);
  } finally {
    await worker.end();
    await router.end();
    await broker.remove();
  }
}

async function callFor(url: string, callers: number, seconds: number): Promise<number> {
  const child = spawn(process.execPath, ["--import", "tsx", join(projectFolder(), "infra/bench/peers/floorProcess.ts"), "caller", url, String(callers), String(seconds)], { cwd: projectFolder(), stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => void chunks.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`the caller of the floor ended with ${String(code)}`);
  const { requests, seconds: took } = JSON.parse(Buffer.concat(chunks).toString()) as { requests: number; seconds: number };
  return requests / took;
}
