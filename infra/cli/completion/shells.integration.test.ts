/** Completion in the shells themselves, where they can be had: on the PATH, or fetched once by apt. What is not tried here is said. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { type ShellProgram, shellProgram } from "#infra/embedded/aptRoot.ts";
import { openHome } from "#infra/embedded/homeFolder.ts";

import { COMMANDS } from "../commands.ts";
import { completedCommands } from "./completionOf.ts";
import { completionScript } from "./shellScripts.ts";

const commands = await completedCommands(COMMANDS);
const names = [...COMMANDS.keys()];
const dlq = commands.find(({ name }) => name === "dlq");

async function find(name: "zsh" | "fish"): Promise<ShellProgram | null> {
  const say = (line: string) => { process.stderr.write(`  ${line}\n`); };
  try {
    return await shellProgram(name, openHome(process.env), process.env, say);
  } catch (error) {
    say(`no ${name} here, so its completion is not tried: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}
const [zsh, fish] = [await find("zsh"), await find("fish")];

function run({ path, libraryPath }: ShellProgram, args: readonly string[]): string[] {
  const env = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", TERM: "dumb", LANG: "C.UTF-8", ...(libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }) };
  return execFileSync(path, [...args], { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 }).split("\n").filter((line) => line !== "");
}

describe.skipIf(zsh === null)("zsh", () => {
  /** Its own folder of modules, which a program that was moved does not find. */
  const moduleFolder = (root: string): string => {
    const module = readdirSync(root, { recursive: true, encoding: "utf8" }).find((file) => file.endsWith("/zsh/parameter.so"));
    if (module === undefined) throw new Error(`${root} has no modules of zsh`);
    return join(root, module, "../..");
  };
  /** Of the script's function what it hands to zsh, which then leaves out what does not begin with the word: these two and `_files` belong to an editor, which is not there. */
  function offered(...typed: string[]): string[] {
    if (zsh === null) return [];
    const modules = zsh.root === "" ? "" : `module_path=(${moduleFolder(zsh.root)})`;
    return run(zsh, ["-f", "-c", `${modules}
compdef() { registered=$1 }
compadd() { shift; print -l -- "$@" }
_describe() { print -l -- "\${(@P)2}" }
_files() { print -- '<files>' }
${completionScript("zsh", commands)}
words=("$@"); CURRENT=$#; "$registered"`, "zsh", ...typed]);
  }

  it("offers commands with what each is for", () => {
    const all = offered("inferctl", "");
    expect(all.map((line) => line.split(":")[0])).toEqual([...names, "help"]);
    expect(all.every((line) => /^[a-z-]+:\S/.test(line))).toBe(true);
  });

  it("offers verbs, options, and files where an option takes a value", () => {
    expect([offered("inferctl", "dlq", ""), offered("inferctl", "dlq", "list", "--re"), offered("inferctl", "help", "")]).toEqual([dlq?.verbs, dlq?.options.flatMap(({ name, short }) => [`--${name}`, ...(short === null ? [] : [`-${short}`])]), names]);
    expect([offered("inferctl", "submit", "--out", ""), offered("inferctl", "submit", "")]).toEqual([["<files>"], ["<files>"]]);
  });
});

describe.skipIf(fish === null)("fish", () => {
  /** What it shows for a line at its end. */
  function offered(line: string): string[] {
    if (fish === null) return [];
    const functions = fish.root === "" ? "" : `set -g fish_function_path ${join(fish.root, "usr/share/fish/functions")}`;
    return run(fish, ["--no-config", "-c", `${functions}
${completionScript("fish", commands)}
complete -C ${JSON.stringify(line)}`]);
  }
  const words = (line: string): string[] => offered(line).map((one) => one.split("\t")[0] ?? "");

  it("offers commands with what each is for", () => {
    expect(words("inferctl ").sort()).toEqual([...names, "help"].sort());
    expect(offered("inferctl doc")).toEqual([expect.stringMatching(/^doctor\t\S/)]);
  });

  it("offers verbs and options", () => {
    expect(words("inferctl dlq ").sort()).toEqual([...(dlq?.verbs ?? [])].sort());
    expect(words("inferctl dlq list --re")).toEqual(["--reason"]);
    expect(words("inferctl help tr").sort()).toEqual(names.filter((name) => name.startsWith("tr")).sort());
  });
});
