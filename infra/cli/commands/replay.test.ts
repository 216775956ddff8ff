import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";
import { z } from "zod";

import { exported } from "#infra/badInputs/replayFiles.ts";

import type { CliContext } from "../command.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { PLAIN_SCREEN } from "../screen.ts";
import type { ReplayMode } from "../replay/replayMode.ts";
import { replayOf } from "./replay.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-replay-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
const events = join(folder, "events.jsonl");
const EVENTS = 1_700;
writeFileSync(events, exported(EVENTS));

const Found = z.object({ events: z.number(), costNanoUsd: z.number() });
/** Adds up costs, and sends Ctrl-C to itself after so many batches. */
const counting = (interruptAfter: number, stop: AbortController, name: ReplayMode["name"] = "what-if"): ReplayMode => ({
  name, summary: "adds up", details: ["--policy   of what"], example: "inferctl replay --mode what-if --policy x", options: { policy: { type: "string" } },
  async run(_values, { source, resumed, keep, signal, print }) {
    let { events: count, costNanoUsd } = resumed === null ? { events: 0, costNanoUsd: 0 } : Found.parse(resumed.found);
    let batches = 0;
    for await (const { records, cursor } of source.batches({ signal, ...(resumed === null ? {} : { after: resumed.cursor }) })) {
      count += records.length;
      costNanoUsd += records.reduce((sum, { completion }) => sum + completion.cost_nano_usd, 0);
      await keep(cursor, { events: count, costNanoUsd });
      if (++batches === interruptAfter) stop.abort();
    }
    print(JSON.stringify({ events: count, costNanoUsd }));
    return 0;
  },
});
async function run(values: Record<string, string | boolean>, { interruptAfter = Infinity, files = [events], mode = "what-if" }: { readonly interruptAfter?: number; readonly files?: readonly string[]; readonly mode?: ReplayMode["name"] } = {}) {
  const stop = new AbortController();
  const printed: string[] = [], notes: string[] = [];
  const context: CliContext = {
    environment: { INFER_HOME: join(folder, "home") }, screen: PLAIN_SCREEN, print: (line) => void printed.push(line), progress: { note: (line) => void notes.push(line), step: (_title, work) => work() },
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const command = replayOf([counting(interruptAfter, stop, mode)], () => ({ signal: stop.signal, exitCode: () => 130, end: () => undefined }));
  const code = await command.run({ values, positionals: files }, context).catch((error: unknown) => {
    if (!(error instanceof SetupError)) throw error;
    printed.push(error.message);
    return error.exitCode;
  });
  return { code, printed: printed.join("\n"), notes: notes.join("\n") };
}

it("the same totals after an interruption, however often, and for whoever begins it again when it is done", async () => {
  const whole = await run({ mode: "what-if" });
  expect(whole.code).toBe(0);
  expect(JSON.parse(whole.printed)).toMatchObject({ events: EVENTS });
  const resume = join(folder, "place.json");
  const interrupted = await run({ mode: "what-if", resume }, { interruptAfter: 1 });
  expect(interrupted).toMatchObject({ code: 130, notes: expect.stringContaining(`go on with: inferctl replay --mode what-if --resume ${resume} ${events}`) as string });
  expect(JSON.parse(interrupted.printed)).toMatchObject({ events: 500 });
  expect((await run({ mode: "what-if", resume }, { interruptAfter: 1 })).code).toBe(130);
  expect(await run({ mode: "what-if", resume })).toMatchObject({ code: 0, printed: whole.printed });
  expect(await run({ mode: "what-if", resume })).toMatchObject({ code: 0, printed: whole.printed });
});

it("keeps the place of another command for that one", async () => {
  const resume = join(folder, "other.json");
  await run({ mode: "what-if", resume, policy: "a" }, { interruptAfter: 1 });
  const before = readFileSync(resume, "utf8");
  expect(await run({ mode: "what-if", resume, policy: "b" })).toMatchObject({ code: 64, printed: expect.stringContaining("the place of another run: inferctl replay --mode what-if --policy a") as string });
  expect(readFileSync(resume, "utf8")).toBe(before);
  writeFileSync(resume, "{}");
  expect(await run({ mode: "what-if", resume, policy: "a" })).toMatchObject({ code: 65 });
});

it("of a mode that sends something the place is kept from the beginning, and told, so that a kill can be gone on from too", async () => {
  const { notes, code } = await run({ mode: "live" }, { mode: "live" });
  const [, place = ""] = /^if it is killed, go on with: inferctl replay --mode live --resume (replay-live-\S+\.json) \S+$/m.exec(notes) ?? [];
  expect([code, place, existsSync(place)]).toEqual([0, expect.stringContaining("replay-live-"), false]); // it was not killed
  const interrupted = await run({ mode: "live" }, { mode: "live", interruptAfter: 1 });
  const [, kept = ""] = /^interrupted after 500 events; go on with: inferctl replay --mode live --resume (\S+) \S+$/m.exec(interrupted.notes) ?? [];
  try {
    expect(JSON.parse(readFileSync(kept, "utf8"))).toMatchObject({ type: "replay_place.v1", read: 500, found: { events: 500 } });
  } finally {
    rmSync(kept);
  }
});

it("without a file that can keep the place, nothing is done", async () => {
  expect(await run({ mode: "live", resume: join(folder, "no such folder", "place.json") }, { mode: "live" })).toMatchObject({ code: 64, printed: expect.stringMatching(/^the place of this run cannot be kept in .*no such folder/) as string });
});

it.each<[Record<string, string | boolean>, readonly string[], RegExp]>([
  [{}, [events], /say --mode: what-if/],
  [{ mode: "verify" }, [events], /there is no --mode verify/],
  [{ mode: "what-if", "from-audit": true }, [events], /exclude each other/],
  [{ mode: "what-if", "from-seq": "7" }, [events], /--from-seq does not go with a file/],
  [{ mode: "what-if", "from-seq": "0" }, [], /--from-seq must be a whole number above 0/],
  [{ mode: "what-if", "from-seq": "7", "to-seq": "6" }, [], /--to-seq must not be below/],
  [{ mode: "what-if", since: "yesterday" }, [], /--since must be an ISO time or an age/],
  [{ mode: "what-if", since: "1d", until: "2d" }, [], /--until must not be before/],
  [{ mode: "what-if", tenant: "a.b" }, [events], /no id of a tenant/],
  [{ mode: "what-if", limit: "-1" }, [events], /--limit must be/],
  [{ mode: "what-if", rate: "1" }, [events], /--rate does not go with --mode what-if/],
  [{ mode: "what-if" }, ["-", "-"], /standard input can be read once/],
])("%j of %j is refused", async (values, files, message) => {
  expect(await run(values, { files })).toMatchObject({ code: 64, printed: expect.stringMatching(message) as string });
});

it("events of one tenant, and no more than so many", async () => {
  expect(JSON.parse((await run({ mode: "what-if", tenant: "tenant-3" })).printed)).toMatchObject({ events: EVENTS / 20 });
  expect(JSON.parse((await run({ mode: "what-if", limit: "7" })).printed)).toMatchObject({ events: 7 });
  const resume = join(folder, "limit.json");
  expect(JSON.parse((await run({ mode: "what-if", limit: "777", resume }, { interruptAfter: 1 })).printed)).toMatchObject({ events: 500 });
  expect(JSON.parse((await run({ mode: "what-if", limit: "777", resume })).printed)).toMatchObject({ events: 777 });
});

it("help has the options of each mode", () => {
  const { details, options } = replayOf([counting(1, new AbortController())]);
  expect(details.join("\n")).toContain("--mode what-if: adds up\n--policy   of what");
  expect(Object.keys(options)).toEqual(expect.arrayContaining(["policy", "mode", "from-audit", "strict", "resume"]));
  expect(existsSync(events)).toBe(true);
});
