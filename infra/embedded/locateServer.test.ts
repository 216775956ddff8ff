import { describe, expect, test } from "vitest";

import { locateServer, type Machine, withoutPassword } from "./locateServer.ts";
import { SERVICES } from "./services.ts";
import { SetupError } from "./setupError.ts";

const fail = (reason: string) => () => Promise.reject(new Error(reason));

/** A machine with nothing on it. */
function machine(changes: Partial<Machine> = {}): Machine & { lines: string[] } {
  const lines: string[] = [];
  return {
    environment: {}, foldersWith: () => [], join: (folder, program) => `${folder}/${program}`, exists: () => true,
    versionOf: fail("not there"), versionAt: fail("connection refused"), embedded: fail("this machine has no apt"),
    onProgress: (line) => void lines.push(line), lines, ...changes,
  };
}
const givenUrl = { acceptUrl: true };

describe("a URL in the environment", () => {
  test("wins over everything else", async () => {
    const all = machine({
      environment: { NATS_URL: "nats://elsewhere:4222", NATS_SERVER_BIN: "/opt/nats-server" },
      versionAt: () => Promise.resolve("2.12.6"), foldersWith: () => ["/usr/sbin"], versionOf: () => Promise.resolve("2.15.1"),
    });
    expect(await locateServer("nats", all, givenUrl)).toEqual({ service: "nats", provider: "url", version: "2.12.6", url: "nats://elsewhere:4222" });
  });
  test("is an error when nothing answers there, without its password", async () => {
    const error = await caught(locateServer("redis", machine({ environment: { REDIS_URL: "redis://me:secret@elsewhere:6379" } }), givenUrl));
    expect(error.message).toContain("connection refused");
    expect(error.message).not.toContain("secret");
  });
  test("is an error when that server is too old", async () => {
    const old = machine({ environment: { DATABASE_URL: "postgresql://elsewhere/infer" }, versionAt: () => Promise.resolve("14.9") });
    expect((await caught(locateServer("postgres", old, givenUrl))).message).toContain("14.9 is too old, 15 or newer");
  });
  test("that is empty counts as not set", async () => {
    const found = machine({ environment: { NATS_URL: "" }, foldersWith: () => ["/usr/sbin"], versionOf: () => Promise.resolve("2.15.1") });
    expect(await locateServer("nats", found, givenUrl)).toMatchObject({ provider: "found" });
  });
  test("is left aside for a server that has to be ours", async () => {
    const found = machine({ environment: { NATS_URL: "nats://elsewhere:4222" }, foldersWith: () => ["/usr/sbin"], versionOf: () => Promise.resolve("2.15.1") });
    expect(await locateServer("nats", found, { acceptUrl: false })).toMatchObject({ provider: "found", path: "/usr/sbin/nats-server" });
  });
});

describe("a named program", () => {
  const named = { NATS_SERVER_BIN: "/opt/nats-server", PG_BIN: "/opt/pg/bin" };
  test("wins over a found one", async () => {
    const both = machine({ environment: named, foldersWith: () => ["/usr/sbin"], versionOf: () => Promise.resolve("2.15.1") });
    expect(await locateServer("nats", both, givenUrl)).toMatchObject({ provider: "named", path: "/opt/nats-server" });
  });
  test("that is missing is an error, whatever else there is", async () => {
    const missing = machine({ environment: named, exists: (path) => !path.endsWith("initdb"), foldersWith: () => ["/usr/bin"], versionOf: () => Promise.resolve("17.2") });
    expect((await caught(locateServer("postgres", missing, givenUrl))).message).toContain("there is no /opt/pg/bin/initdb");
  });
  test("that is too old is an error", async () => {
    const old = machine({ environment: named, versionOf: () => Promise.resolve("2.9.10") });
    expect((await caught(locateServer("nats", old, givenUrl))).message).toContain("version 2.9.10; 2.10 or newer");
  });
});

test("a found program that is too old costs one line, and the next provider is asked", async () => {
  const versions: Record<string, string> = { "/usr/sbin/nats-server": "2.9.10", "/home/nats-server": "2.15.1" };
  const old = machine({ foldersWith: () => ["/usr/sbin"], versionOf: (_, { path }) => Promise.resolve(versions[path] ?? "0"), embedded: () => Promise.resolve({ path: "/home/nats-server" }) });
  expect(await locateServer("nats", old, givenUrl)).toEqual({ service: "nats", provider: "embedded", version: "2.15.1", path: "/home/nats-server" });
  expect(old.lines).toEqual(["/usr/sbin/nats-server is version 2.9.10, too old (2.10 or newer is needed): looking further"]);
});

test("when nothing is there, the error names all that was tried, each reason, and what to do", async () => {
  const error = await caught(locateServer("nats", machine(), givenUrl));
  expect(error.message.split("\n")).toEqual([
    "NATS server 2.10+ not found. Tried:",
    "  NATS_URL: not set",
    "  NATS_SERVER_BIN: not set",
    "  nats-server on PATH, /usr/sbin, /usr/local/sbin: not there",
    "  embedded: this machine has no apt",
  ]);
  expect(error.nextStep).toBe(SERVICES.nats.hint);
  expect(error.exitCode).toBe(1);
});

test("a password is never shown", () => {
  expect(withoutPassword("postgresql://me:secret@db/infer")).toBe("postgresql://me:***@db/infer");
  expect(withoutPassword("nats://127.0.0.1:4222")).not.toContain("***");
});

async function caught(promise: Promise<unknown>): Promise<SetupError> {
  const error = await promise.then(() => undefined, (reason: unknown) => reason);
  if (error instanceof SetupError) return error;
  throw new Error(`expected a SetupError, got ${String(error)}`);
}
