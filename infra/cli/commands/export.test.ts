import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { afterAll, expect, it } from "vitest";

import { exported } from "#infra/badInputs/replayFiles.ts";
import { SetupError } from "#infra/embedded/setupError.ts";
import { Completion } from "#shared/contracts/events.ts";

import type { CliContext } from "../command.ts";
import { PLAIN_SCREEN } from "../screen.ts";
import { exportWith } from "./export.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "infer-export-")));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
const events = join(folder, "events.jsonl");
/** Some megabytes, so that there are several pieces. */
const EVENTS = 1_700;
writeFileSync(events, exported(EVENTS));

async function run(values: Record<string, string | boolean>, { interruptAfter = Infinity }: { readonly interruptAfter?: number } = {}) {
  const stop = new AbortController();
  const printed: string[] = [], notes: string[] = [];
  let told = 0;
  const context: CliContext = {
    environment: { INFER_HOME: join(folder, "home") }, screen: PLAIN_SCREEN, print: (line) => void printed.push(line),
    progress: { note: (line) => void notes.push(line), step: (_title, work) => work(), tell: () => { if (++told === interruptAfter) stop.abort(); } },
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const code = await exportWith(() => ({ signal: stop.signal, exitCode: () => 130, end: () => undefined })).run({ values: { ...values, json: true }, positionals: [events] }, context).catch((error: unknown) => {
    if (!(error instanceof SetupError)) throw error;
    printed.push(error.message);
    return error.exitCode;
  });
  return { code, printed: printed.join("\n"), notes: notes.join("\n") };
}
const textOf = (file: string): string => (file.endsWith(".gz") ? gunzipSync(readFileSync(file)).toString("utf8") : readFileSync(file, "utf8"));
/** Without the line that says when it was made. */
const eventsOf = (file: string): string[] => textOf(file).split("\n").slice(1, -2);

it.each(["a.jsonl", "a.jsonl.gz"])("%s has each event, and can be exported again", async (name) => {
  const out = join(folder, name);
  const { code, printed } = await run({ out });
  expect([code, JSON.parse(printed)]).toMatchObject([0, { file: out, events: EVENTS, not_read: {} }]);
  expect(statSync(out).mode & 0o777).toBe(0o600);
  expect(eventsOf(out)).toEqual(eventsOf(events));
  expect([existsSync(`${out}.part`), existsSync(`${out}.part.journal`)]).toEqual([false, false]);
});

it.each(["b.jsonl", "b.jsonl.gz"])("the same events after an interruption, and after a death in the middle of a write: %s", async (name) => {
  const out = join(folder, name);
  const interrupted = await run({ out }, { interruptAfter: 1 });
  expect(interrupted).toMatchObject({ code: 130, notes: expect.stringContaining(`go on with: inferctl export --out ${out} --json --resume ${events}`) as string });
  expect(existsSync(out)).toBe(false);
  expect(await run({ out })).toMatchObject({ code: 64, printed: expect.stringContaining("go on with --resume") as string });
  expect(await run({ out, resume: true, redact: true })).toMatchObject({ code: 64, printed: expect.stringContaining("begun by another command") as string });
  appendFileSync(`${out}.part`, "half of a pie"); // written, and not in the journal yet
  expect(await run({ out, resume: true })).toMatchObject({ code: 0 });
  expect(eventsOf(out)).toEqual(eventsOf(events));
  const { code, printed } = await run({ out: join(folder, `again-${name}`) });
  expect([code, JSON.parse(printed)]).toMatchObject([0, { events: EVENTS }]);
});

it("without texts, equal users and questions stay equal, and all that decisions need stays", async () => {
  const out = join(folder, "redacted.jsonl");
  expect((await run({ out, redact: true })).code).toBe(0);
  const read = (line: string) => Completion.parse((JSON.parse(line) as { completion: unknown }).completion);
  const before = eventsOf(events).map(read), after = eventsOf(out).map(read);
  expect(textOf(out).split("\n")[0]).toContain('"redacted":true');
  for (const text of ["spam", "user-", "T-1\"", "no answer within"]) expect([text, textOf(events).includes(text), textOf(out).includes(text)]).toEqual([text, true, false]);
  const kept = ({ decisions, cost_nano_usd, tier, confidence, tenant_id, request_id, latency_ms, outcome, policy, task }: Completion) => ({ decisions, cost_nano_usd, tier, confidence, tenant_id, request_id, latency_ms, outcome, policy, task });
  expect(after.map(kept)).toEqual(before.map(kept));
  const users = new Map(before.map(({ user_id }, i) => [user_id, after[i]?.user_id]));
  expect(new Set(users.values()).size).toBe(users.size);
  before.forEach(({ user_id }, i) => { expect(after[i]?.user_id).toBe(users.get(user_id)); });
  const again = join(folder, "redacted-again.jsonl");
  await run({ out: again, redact: true });
  expect(eventsOf(again).map(read)[0]?.user_id).not.toBe(after[0]?.user_id); // another file, another key
});

it("what comes through a pipe is exported as well", async () => {
  const out = join(folder, "piped.jsonl");
  const program = `const { exportEvents } = await import(${JSON.stringify(join(import.meta.dirname, "export.ts"))});
    const { PLAIN_SCREEN } = await import(${JSON.stringify(join(import.meta.dirname, "../screen.ts"))});
    process.exitCode = await exportEvents.run({ values: { out: ${JSON.stringify(out)} }, positionals: ["-"] }, { environment: { INFER_HOME: ${JSON.stringify(join(folder, "home"))} }, screen: PLAIN_SCREEN, print: () => undefined, progress: { note: () => undefined, step: (_title, work) => work() } });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], { stdio: ["pipe", "inherit", "inherit"] });
  child.stdin.end(readFileSync(events));
  const code = await new Promise((resolve) => { child.on("exit", resolve); });
  expect(code).toBe(0);
  expect(eventsOf(out)).toEqual(eventsOf(events));
}, 60_000);
