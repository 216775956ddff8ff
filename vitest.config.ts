import { defineConfig } from "vitest/config";

const EXCLUDED = ["**/node_modules/**", "dist/**", "infra/load/**"];

/** Three kinds: pure logic; one part against real servers; the whole system as a user starts it. */
export default defineConfig({
  test: {
    // CI counts from the JSON report.
    reporters: process.env["TEST_REPORT_FILE"] === undefined ? ["default"] : ["default", ["json", { outputFile: process.env["TEST_REPORT_FILE"] }]],
    projects: [
      { test: { name: "unit", include: ["**/*.test.ts"], exclude: [...EXCLUDED, "**/*.integration.test.ts", "infra/e2e/**"], testTimeout: 10_000, isolate: false } },
      {
        test: {
          name: "integration", include: ["**/*.integration.test.ts"], exclude: EXCLUDED, globalSetup: "infra/testSetup.ts",
          testTimeout: 30_000, hookTimeout: 60_000, maxWorkers: 2, sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "e2e", include: ["infra/e2e/**/*.test.ts"], exclude: EXCLUDED, globalSetup: "infra/testSetup.ts",
          testTimeout: 90_000, hookTimeout: 180_000, fileParallelism: false, maxWorkers: 1, sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
