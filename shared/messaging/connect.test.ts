import { expect, it } from "vitest";

import { isSupported, longestUntried } from "./connect.ts";

it.each([
  ["2.10.0", true], ["2.10.27", true], ["2.15.1", true], ["2.11.0-preview.2", true], ["2.10", true], ["3.0.0", true], ["10.0.0", true],
  ["2.9.25", false], ["2.1.0", false], ["1.4.1", false], ["0.0.0", false], ["unknown", false], ["", false], ["2", false],
])("nats-server %j is new enough: %s", (version, expected) => {
  expect(isSupported(version)).toBe(expected);
});

it("tries again last the server that was just lost: one that hangs takes the whole time-out of a connection", () => {
  const [lost, untried, tried] = [{ lastConnect: 30 }, { lastConnect: 0 }, { lastConnect: 20 }];
  expect([longestUntried([lost, untried, tried]), longestUntried([lost, tried]), longestUntried([lost]), longestUntried([])]).toEqual([untried, tried, lost, null]);
});
