/** Bundles each process into dist/. npm packages stay outside; what belongs to no process is not bundled. */
import { cpSync, rmSync } from "node:fs";

import { build } from "esbuild";

const ENTRIES = {
  gateway: "producers/gateway/main.ts",
  router: "router/main.ts",
  worker: "workers/main.ts",
  "audit-sink": "sinks/audit/main.ts",
  "metrics-sink": "sinks/metrics/main.ts",
  "all-in-one": "infra/embedded/allInOne.ts",
  inferctl: "infra/cli/main.ts",
  client: "producers/client/natsClient.ts",
};

rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: ENTRIES,
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
cpSync("shared/db/migrations", "dist/migrations", { recursive: true });
