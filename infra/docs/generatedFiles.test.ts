import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { generatedFiles } from "./generatedFiles.ts";

it("what is committed is what the code says (else: npm run docs:generate)", async () => {
  for (const [path, content] of Object.entries(await generatedFiles())) expect(readFileSync(path, "utf8"), path).toBe(content);
});
