/** Runs inferctl, once it is built. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const program = new URL("../dist/inferctl.js", import.meta.url);
if (existsSync(fileURLToPath(program))) await import(program.href);
else {
  process.stderr.write("Nothing is built here yet, so nothing runs. Start with: make up (or npm run up)\n");
  process.exitCode = 1;
}
