/** Bundles each process into dist/. npm packages stay outside; what belongs to no process is not bundled. */
import { cpSync, renameSync, rmSync } from "node:fs";

import { build } from "esbuild";

const ENTRIES = {
  gateway: "producers/gateway/main.ts",
  router: "router/main.ts",
  worker: "workers/main.ts",
  "audit-sink": "sinks/audit/main.ts",
  "metrics-sink": "sinks/metrics/main.ts",
  "webhook-sender": "sinks/webhooks/main.ts",
  console: "sinks/console/main.ts",
  "all-in-one": "infra/embedded/allInOne.ts",
  inferctl: "infra/cli/main.ts",
  client: "producers/client/inferClient.ts",
};

const OUT = `dist.${process.pid}`; // replaces dist/ at the end, so that nobody starts half a build
await build({
  entryPoints: ENTRIES,
  outdir: OUT,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
cpSync("shared/db/migrations", `${OUT}/migrations`, { recursive: true });
rmSync("dist", { recursive: true, force: true });
renameSync(OUT, "dist");
