import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import "#infra/cli/commands/export.ts"; // read before the first test's time begins

import { BAD_REPLAY_FILES, exported } from "./replayFiles.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "infer-bad-replay-files-")));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
let count = 0;
function written(content: Buffer | string, name = "events.jsonl"): { readonly file: string; readonly out: string } {
  const own = join(folder, String(++count));
  mkdirSync(own);
  writeFileSync(join(own, name), content);
  return { file: join(own, name), out: join(own, "out.jsonl") };
}
const run = (args: readonly string[]) => callInferctl(["export", ...args, "--json"], { INFER_HOME: join(folder, "home") });
const eventsIn = (out: string): number[] => readFileSync(out, "utf8").split("\n").filter((line) => line.startsWith('{"seq"')).map((line) => Number(/"request_id":"r-(\d+)"/.exec(line)?.[1]));

it.each(BAD_REPLAY_FILES)("$id: $input", async ({ content, isCompressed, read, notRead, refused, isHarmless, id }) => {
  const { file, out } = written(content, isCompressed === true ? "events.jsonl.gz" : "events.jsonl");
  const called = await run([file, "--out", out]);
  if (refused !== undefined) {
    expect(called.code).toBe(65);
    expect(called.errors).toMatch(refused);
    expect(existsSync(out)).toBe(false);
    return;
  }
  expect(called).toMatchObject({ code: 0, errors: "" });
  expect(JSON.parse(called.printed)).toMatchObject({ not_read: notRead });
  const events = eventsIn(out);
  if (id === "R-152") expect(events).toEqual(events.map((_, i) => i)); // as many as came out
  else expect(events).toEqual(read);
  for (const why of Object.keys(notRead)) expect([why, called.notes]).toEqual([why, expect.stringContaining(file)]);
  rmSync(out);
  const strict = await run([file, "--out", out, "--strict"]);
  expect([strict.code, existsSync(out)]).toEqual(isHarmless === true ? [0, true] : [65, false]);
  if (isHarmless !== true) expect(strict.errors).toContain(file);
});

it("R-149: a file that is not there is named, and the exit code is 66", async () => {
  const { out } = written("");
  expect(await run([join(folder, "none.jsonl"), "--out", out])).toMatchObject({ code: 66, errors: expect.stringContaining(join(folder, "none.jsonl")) as string });
  expect(await run([folder, "--out", out])).toMatchObject({ code: 66 });
});

it("R-161: an export goes through no symbolic link, out of no folder, and over no file", async () => {
  const { file } = written(exported(2));
  const own = join(folder, "outs"), elsewhere = join(folder, "elsewhere");
  for (const path of [own, elsewhere]) mkdirSync(path);
  writeFileSync(join(own, "there.jsonl"), "mine");
  symlinkSync(join(elsewhere, "target.jsonl"), join(own, "link.jsonl"));
  symlinkSync(join(elsewhere, "target.jsonl"), join(own, "behind.jsonl.part"));
  symlinkSync(elsewhere, join(own, "folder"));
  for (const out of [join(own, "link.jsonl"), join(own, "behind.jsonl"), join(own, "folder", "x.jsonl"), `${own}/../elsewhere/x.jsonl`, join(own, "there.jsonl"), join(own, "none", "x.jsonl")]) {
    expect([out, await run([file, "--out", out])]).toMatchObject([out, { code: 64, printed: "" }]);
  }
  expect(readdirSync(elsewhere)).toEqual([]);
  expect(readFileSync(join(own, "there.jsonl"), "utf8")).toBe("mine");
});
