import { renameSync, writeFileSync } from "node:fs";

/** Whole or not at all, so that a reader never sees half of it, and for nobody else to read. */
export function replaceFile(file: string, text: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}
