/**
 * What has to be done before any TypeScript of this project can run: the right Node, the packages, with --build also the
 * bundles. Plain JavaScript without packages, because on a fresh clone there are none. Run by `npm run up` and `npm test`;
 * does nothing, quickly, when nothing has changed. Two at once: the second waits for the first.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, closeSync, constants, existsSync, linkSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "..");
const MINIMUM_NODE = [20, 19];
const SOURCE_FOLDERS = ["producers", "router", "workers", "sinks", "shared", "infra"];
const INSTALL_MARKER = join(PROJECT, "node_modules", ".installed-from");
const BUILD_MARKER = join(PROJECT, "dist", ".built-from");
const LOCK_DEADLINE_MS = 15 * 60_000;

class Failure extends Error {
  constructor(message, nextStep) {
    super(message);
    this.nextStep = nextStep;
  }
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1])) return;
  throw new Failure(`this project needs Node ${MINIMUM_NODE.join(".")} or newer, and this is Node ${process.versions.node}.`, "Install a newer Node (20 LTS or later) and try again.");
}

/** Of the lockfile and the kind of machine: a folder copied from another system is installed anew. */
const installKey = () => hashOf([readFileSync(join(PROJECT, "package-lock.json"), "utf8"), process.platform, process.arch]);

function isInstalled() {
  if (readOr(INSTALL_MARKER, "") === installKey()) return true;
  if (!hasSamePackages()) return false;
  tryWrite(INSTALL_MARKER, installKey());
  return true;
}

/** For who ran `npm ci` by hand: npm's own note of what is installed agrees with the lockfile. */
function hasSamePackages() {
  const installed = parseOr(readOr(join(PROJECT, "node_modules", ".package-lock.json"), ""), {}).packages;
  if (installed === undefined) return false;
  const wanted = Object.entries(JSON.parse(readFileSync(join(PROJECT, "package-lock.json"), "utf8")).packages);
  return wanted.every(([path, { version, optional, link }]) => {
    if (path === "" || link) return true;
    if (installed[path] === undefined) return optional === true && !isForThisMachine(path);
    return installed[path].version === version && existsSync(join(PROJECT, path, "package.json"));
  });
}

/** An optional package may be missing for a good reason, but not the one with this machine's programs. */
const isForThisMachine = (path) => path.endsWith(`${process.platform}-${process.arch}`);

async function install() {
  // The npm that runs this has set both for its scripts: a cache below a HOME that may not exist, and no messages at all.
  const env = { ...process.env, npm_config_loglevel: "notice" };
  if (!isWritable(env.npm_config_cache ?? join(homedir(), ".npm"))) env.npm_config_cache = join(PROJECT, ".infer", "npm-cache");
  await runNpm("installing packages", ["ci"], "npm-ci.log", env, "If it is the network: check it and npm's registry setting (npm config get registry), then try again.");
  writeFileSync(INSTALL_MARKER, installKey());
}

/** Content rather than times: `git checkout` and copies change times at will. */
function buildKey() {
  const files = SOURCE_FOLDERS.flatMap((folder) => sourceFiles(join(PROJECT, folder)));
  for (const name of readdirSync(PROJECT)) if (/^(package\.json|package-lock\.json|tsconfig\.json|.*\.mjs)$/.test(name)) files.push(join(PROJECT, name));
  return hashOf(files.sort().flatMap((file) => [file.slice(PROJECT.length), readFileSync(file)]));
}

function sourceFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist", "coverage"].includes(entry.name) ? [] : sourceFiles(path);
    return entry.isFile() && !/\.test\.ts$|\.md$/.test(entry.name) ? [path] : [];
  });
}

async function buildIfNeeded() {
  const key = buildKey();
  if (readOr(BUILD_MARKER, "") === key) return;
  await runNpm("building", ["run", "build"], "npm-build.log", process.env, "Correct what the log names, then try again: npm run build");
  if (!existsSync(dirname(BUILD_MARKER))) throw new Failure("`npm run build` made no dist/", "Look at the script `build` in package.json.");
  writeFileSync(BUILD_MARKER, key);
}

/** Its output goes to a log; here a line at the start, one every ten seconds, one at the end. */
function runNpm(title, args, logName, env, nextStep) {
  const logFile = join(PROJECT, ".infer", "logs", logName);
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, "w");
  const startedMs = Date.now();
  const seconds = () => ((Date.now() - startedMs) / 1000).toFixed(1);
  say(`${title} (npm ${args.join(" ")}, log in ${logFile})`);
  const ticker = setInterval(() => say(`${title}: ${seconds()} s so far`), 10_000);
  const [program, first] = npmProgram();
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...first, ...args], { cwd: PROJECT, env, stdio: ["ignore", log, log] });
    const fail = (reason) => reject(new Failure(`${title} failed: ${reason}\n${reasonIn(readOr(logFile, ""))}`, nextStep));
    child.once("error", (err) => fail(err.message));
    child.once("exit", (code, signal) => {
      if (code !== 0) return fail(signal === null ? `npm ended with code ${code}` : `npm was ended by ${signal}`);
      say(`${title}: done (${seconds()} s)`);
      resolve();
    });
  }).finally(() => {
    clearInterval(ticker);
    closeSync(log);
  });
}

/** The npm that runs us, or the one on PATH. */
function npmProgram() {
  const script = process.env.npm_execpath;
  return script?.endsWith(".js") && existsSync(script) ? [process.execPath, [script]] : ["npm", []];
}

async function withLock(run) {
  const file = join(PROJECT, ".infer", "setup.lock");
  mkdirSync(dirname(file), { recursive: true });
  const endMs = Date.now() + LOCK_DEADLINE_MS;
  for (let hasSaid = false; !takeLock(file); hasSaid = true) {
    if (!hasSaid) say(`another set-up (pid ${readOr(file, "?")}) is at work: waiting for it`);
    if (Date.now() > endMs) throw new Failure(`another set-up holds ${file}`, "If none is running, remove that file and try again.");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    await run();
  } finally {
    rmSync(file, { force: true });
  }
}

/** A link to a complete file is atomic. The lock of a process that is gone counts for nothing. */
function takeLock(file) {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, String(process.pid));
  try {
    linkSync(draft, file);
    return true;
  } catch (err) {
    if (err.code !== "EEXIST") throw err;
    if (!isAlive(Number(readOr(file, "0")))) removeStale(file, draft);
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Another one may have removed it and taken the lock meanwhile: what was moved away is looked at again. */
function removeStale(file, draft) {
  const moved = `${draft}.stale`;
  try {
    renameSync(file, moved);
    if (isAlive(Number(readOr(moved, "0")))) linkSync(moved, file);
  } catch (err) {
    if (err.code !== "ENOENT" && err.code !== "EEXIST") throw err;
  } finally {
    rmSync(moved, { force: true });
  }
}

function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (err) {
    return err.code === "EPERM";
  }
}

/** Whether it, or the nearest folder above it that exists, can be written. */
function isWritable(folder) {
  if (!existsSync(folder)) return folder !== dirname(folder) && isWritable(dirname(folder));
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readOr(file, otherwise) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}

function parseOr(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** A folder that cannot be written costs the same check next time, no more. */
function tryWrite(file, text) {
  if (isWritable(dirname(file))) writeFileSync(file, text);
}

/** npm says what was wrong first and then prints pages of usage; a build says it last. */
function reasonIn(log) {
  const npmErrors = log.split("\n").filter((line) => /^npm (error|ERR!) \S/.test(line) && !line.includes("A complete log"));
  return npmErrors.length > 3 && log.startsWith(npmErrors[0]) ? npmErrors.slice(0, 8).map((line) => `  ${line}`).join("\n") : lastLines(log, 15);
}

const lastLines = (text, count) => text.trim().split("\n").slice(-count).map((line) => `  ${line}`).join("\n");
const say = (line) => process.stderr.write(`  . ${line}\n`);

function hashOf(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

async function main() {
  requireNode();
  const wantsBuild = process.argv.includes("--build");
  const isBuilt = () => !wantsBuild || readOr(BUILD_MARKER, "") === buildKey();
  if (isInstalled() && isBuilt()) return;
  if (!isWritable(join(PROJECT, ".infer"))) throw new Failure(`${PROJECT} cannot be written, and packages or bundles are missing or out of date.`, "Work in a copy that you can write.");
  await withLock(async () => {
    if (!isInstalled()) await install();
    if (wantsBuild) await buildIfNeeded();
  });
}

main().catch((err) => {
  process.stderr.write(`\nset-up: ${err instanceof Failure ? err.message : (err?.stack ?? err)}\n\nNext: ${err.nextStep ?? "Report this."}\n`);
  process.exitCode = 1;
});
