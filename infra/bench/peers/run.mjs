#!/usr/bin/env node
/** Installs Portkey's gateway into the folder beside this file when it is not there, then runs the bench. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

const HERE = import.meta.dirname;
const PORTKEY = join(HERE, "portkey");
const PROJECT = join(HERE, "../../..");

/** npm writes node_modules/.package-lock.json last, so half an installation does not count as one. */
function isInstalled() {
  const done = join(PORTKEY, "node_modules", ".package-lock.json");
  return existsSync(done) && statSync(done).mtimeMs >= statSync(join(PORTKEY, "package-lock.json")).mtimeMs;
}

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit" });
  return status ?? 1;
}

const args = process.argv.slice(2);
if (!args.includes("--help") && !isInstalled()) {
  process.stderr.write("Installing Portkey's gateway for infra/bench/peers, once\n");
  const code = run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], PORTKEY);
  if (code !== 0) process.exit(code);
}
process.exit(run(process.execPath, ["--import", "tsx", join(HERE, "main.ts"), ...args], PROJECT));
