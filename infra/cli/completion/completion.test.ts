import { execFileSync, spawnSync } from "node:child_process";

import { expect, test } from "vitest";

import { COMMANDS } from "../commands.ts";
import { completedCommands } from "./completionOf.ts";
import { completionScript, SHELLS } from "./shellScripts.ts";

const commands = await completedCommands(COMMANDS);
const isInstalled = (shell: string): boolean => spawnSync(shell, ["--version"], { stdio: "ignore" }).status === 0;

/** What bash offers for the last of these words. */
function offered(...typed: string[]): string[] {
  const script = `${completionScript("bash", commands)}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _inferctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["--norc", "-c", script, "bash", ...typed], { encoding: "utf8" }).split("\n").filter((line) => line !== "");
}

test("bash: commands, with the help of each", () => {
  expect(offered("inferctl", "")).toEqual([...COMMANDS.keys(), "help"]);
  expect([offered("inferctl", "do"), offered("inferctl", "help", "tr")]).toEqual([["down", "doctor"].sort((a, b) => [...COMMANDS.keys()].indexOf(a) - [...COMMANDS.keys()].indexOf(b)), ["trace", "train"].sort((a, b) => [...COMMANDS.keys()].indexOf(a) - [...COMMANDS.keys()].indexOf(b))]);
});

test("bash: verbs, options, and names of files where an option takes a value", () => {
  expect(offered("inferctl", "dlq", "")).toEqual(["list", "show", "retry", "discard"]);
  expect(offered("inferctl", "dlq", "list", "--re")).toEqual(["--reason"]);
  expect(offered("inferctl", "logs", "-")).toEqual(["--follow", "-f", "--json", "--help", "-h"]);
  expect([offered("inferctl", "submit", "--out", ""), offered("inferctl", "submit", "")]).toEqual([[], []]); // left to the shell
});

test.each(SHELLS)("%s: the script is of that shell's grammar", (shell) => {
  if (!isInstalled(shell)) return; // the others are run in shells.integration.test.ts
  expect(spawnSync(shell, ["-n"], { input: completionScript(shell, commands), encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
});

test.each(SHELLS)("%s: every command, verb and option is in it", (shell) => {
  const script = completionScript(shell, commands);
  for (const { name, verbs, options } of commands) for (const word of [name, ...verbs, ...options.map((option) => option.name)]) expect(script).toContain(word);
  expect(script).not.toContain("undefined");
});

test("verbs that a command declares are those of its usage", async () => {
  for (const [name, read] of COMMANDS) {
    const { usage, verbs = [], maxPositionals } = await read();
    for (const verb of verbs) expect(usage, name).toMatch(new RegExp(`(^|[ |])${verb}([ |]|$)`));
    if (/^[a-z]+( \||$)/.test(usage)) expect([name, verbs.length > 0, maxPositionals > 0]).toEqual([name, true, true]);
  }
});

test("whatever prints for people prints JSON too", async () => {
  const without = (await Promise.all([...COMMANDS].map(async ([name, read]) => ({ name, options: (await read()).options })))).filter(({ options }) => options["json"] === undefined).map(({ name }) => name);
  expect(without).toEqual(["completion"]); // a script is for shells
});
