/** `npm run docs:generate`: writes what is made from the code's own schemas. `--check` says what has drifted, and writes nothing. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

import { generatedFiles } from "./generatedFiles.ts";

const isCheck = process.argv.includes("--check");
for (const [path, content] of Object.entries(await generatedFiles())) {
  if (existsSync(path) && readFileSync(path, "utf8") === content) continue;
  if (isCheck) {
    process.stderr.write(`${path} is not what the code says: run npm run docs:generate\n`);
    process.exitCode = 1;
    continue;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  process.stdout.write(`wrote ${path}\n`);
}
