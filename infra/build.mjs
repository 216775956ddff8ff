/** Bundles each process into dist/. npm packages stay outside; what belongs to no process is not bundled. */
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

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
await buildPage("sinks/console/web", `${OUT}/console`);
rmSync("dist", { recursive: true, force: true });
renameSync(OUT, "dist");

/** The console's page: packages inside, names with a hash of the content, so that browsers may keep the files for ever. */
async function buildPage(source, outdir) {
  const { metafile } = await build({
    entryPoints: { console: `${source}/main.tsx`, style: `${source}/style.css`, icon: `${source}/icon.svg` },
    outdir,
    entryNames: "[name]-[hash]",
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: ["chrome116", "firefox124", "safari17.4"],
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".svg": "copy" },
    metafile: true,
    logLevel: "warning",
  });
  const nameOf = (ending) => basename(Object.keys(metafile.outputs).find((file) => file.endsWith(ending)));
  const page = readFileSync(`${source}/index.html`, "utf8");
  writeFileSync(`${outdir}/index.html`, page.replace("STYLE", nameOf(".css")).replace("SCRIPT", nameOf(".js")).replace("ICON", nameOf(".svg")));
  compress(outdir);
}

/** Beside each file what browsers are sent of it: a fifth of its size. */
function compress(folder) {
  for (const name of readdirSync(folder)) {
    const body = readFileSync(join(folder, name));
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(body));
    writeFileSync(join(folder, `${name}.gz`), gzipSync(body, { level: 9 }));
  }
}
