import { expect, test } from "vitest";

import { isAtLeast, parseVersion } from "./serverVersion.ts";

test.each([
  ["nats-server: v2.15.1", "2.15.1"],
  ["Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0", "7.0.15"],
  ["postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"],
  ["postgres (PostgreSQL) 19beta1", "19"],
  ["18.4", "18.4"],
  ["command not found", undefined],
])("reads the version out of %j", (printed, version) => {
  expect(parseVersion(printed)).toBe(version);
});

test.each([
  ["2.10.27", "2.10", true],
  ["2.9.10", "2.10", false],
  ["15", "15.0", true],
  ["15.18", "15", true],
  ["7.0.0", "7.0", true],
  ["6.2.14", "7.0", false],
  ["10.0", "9.6", true],
])("%s is at least %s: %s", (version, minimum, expected) => {
  expect(isAtLeast(version, minimum)).toBe(expected);
});
