import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { mountSmallDisk, whyNoSmallDisk } from "./smallDisk.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-disk-test-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

describe.runIf(whyNoSmallDisk() === null)("a small disk", () => {
  it("is full when it is filled, and has room again when it is freed", () => {
    const disk = mountSmallDisk(join(folder, "disk"), 2 ** 20);
    try {
      disk.fill(8_192);
      expect(disk.freeBytes()).toBe(8_192);
      expect(() => { writeFileSync(join(disk.folder, "big"), Buffer.alloc(100_000)); }).toThrow("ENOSPC");
      disk.free();
      writeFileSync(join(disk.folder, "big"), Buffer.alloc(100_000));
    } finally {
      disk.unmount();
    }
  });
});
