import { expect, it } from "vitest";

import { originProblem } from "./hostProblem.ts";

const host = "localhost:8079";

it.each([
  ["POST", undefined], ["POST", "http://localhost:8079"], ["DELETE", "https://localhost:8079"], ["GET", "https://evil.example"], ["OPTIONS", "https://evil.example"],
])("%s from %s is let through", (method, origin) => {
  expect(originProblem({ method, origin, host })).toBeUndefined();
});

it.each([["POST", "https://evil.example"], ["POST", "http://localhost:3000"], ["DELETE", "http://localhost"], ["PATCH", "null"], ["POST", ""]])("%s from %j is refused", (method, origin) => {
  expect(originProblem({ method, origin, host })?.code).toBe("forbidden_host");
});
