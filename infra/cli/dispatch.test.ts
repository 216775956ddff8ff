import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { COMMANDS } from "./commands.ts";
import { dispatch } from "./dispatch.ts";
import { PLAIN_SCREEN } from "./screen.ts";
import { terminalProgress } from "./terminalProgress.ts";
import { textTable } from "./textTable.ts";

const home = mkdtempSync(join(tmpdir(), "infer-cli-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const context = {
    environment: { INFER_HOME: home },
    screen: PLAIN_SCREEN,
    print: (line: string) => void out.push(line),
    progress: terminalProgress({ write: (text) => err.push(text) }),
    prepare: { topology: () => Promise.resolve(), migrations: () => Promise.resolve(0), localModels: () => Promise.resolve({ models: [], wasCached: true }) },
  };
  const code = await dispatch(args, context, (line) => void err.push(line));
  return { code, out: out.join("\n"), err: err.join("\n") };
}

test.each([[], ["help"], ["--help"]])("lists every command: %j", async (...args) => {
  const { code, out } = await run(...args.flat());
  expect(code).toBe(0);
  for (const name of COMMANDS.keys()) expect(out).toContain(name);
});

test.each([...COMMANDS.keys()])("%s --help shows usage and an example", async (name) => {
  const { code, out } = await run(name, "--help");
  expect(code).toBe(0);
  expect(out).toContain(`Usage: npx inferctl ${name}`);
  expect(out).toMatch(/^Example: .*npx inferctl/m);
});

describe("what cannot be understood is an error with exit code 64 that says where to look", () => {
  test.each([
    [["uq"], /no command "uq"/],
    [["up", "--jsn"], /--jsn[^]*See: npx inferctl up --help/],
    [["down", "now"], /unexpected argument "now"/],
    [["logs", "nosuch"], /no log of "nosuch"/],
  ])("%j", async (args, message) => {
    const { code, err } = await run(...args);
    expect(code).toBe(64);
    expect(err).toMatch(message);
  });
});

test("status of nothing is no success, and says how to start", async () => {
  expect(await run("status")).toMatchObject({ code: 3, out: expect.stringContaining("inferctl up") as string });
  expect(JSON.parse((await run("status", "--json")).out)).toEqual({ lines: [] });
});

test("down of nothing is a success", async () => expect(await run("down", "--json")).toMatchObject({ code: 0, out: JSON.stringify({ ended: [] }, null, 2) }));

test("a command that needs a server names the variable when there is none", async () => {
  expect(await run("migrate")).toMatchObject({ code: 1, err: expect.stringMatching(/DATABASE_URL[^]*: npx inferctl up$/) as string });
});

test("progress is one line per step without a terminal, and a live line with one", async () => {
  const written = (isTTY: boolean) => {
    const texts: string[] = [];
    const progress = terminalProgress({ isTTY, write: (text) => texts.push(text) }, () => 0);
    return { texts, run: () => progress.step("servers", () => Promise.resolve(3), (count) => `${count} started`) };
  };
  const [plain, live] = [written(false), written(true)];
  await Promise.all([plain.run(), live.run()]);
  expect(plain.texts.join("")).toBe("  ok servers: 3 started (0.0 s)\n");
  expect(live.texts.join("")).toBe("  servers ...\r\u001b[2K  ok servers: 3 started (0.0 s)\n");
});

test("a table's columns are as wide as their longest cell", () => {
  expect(textTable(["A", "B"], [["long", "x"]])).toBe("A     B\nlong  x");
});
