import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { mountPowerDisk, whyNoPowerDisk } from "./powerDisk.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-disk-test-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

describe.runIf(whyNoPowerDisk() === null)("a disk without power", () => {
  it("keeps what was fsynced and loses what was only written", () => {
    const disk = mountPowerDisk(join(folder, "disk"), 8 * 2 ** 20);
    const file = (name: string) => join(disk.folder, name);
    try {
      writeFileSync(file("before"), "before");
      disk.sync();
      writeFileSync(file("written"), "written");
      const descriptor = openSync(file("synced"), "w");
      writeSync(descriptor, "synced");
      fsyncSync(descriptor);
      closeSync(descriptor);
      writeFileSync(file("after"), "after");
      disk.cutPower();
      disk.restorePower();
      expect([readFileSync(file("before"), "utf8"), readFileSync(file("synced"), "utf8")]).toEqual(["before", "synced"]);
      expect(existsSync(file("written")) ? readFileSync(file("written"), "utf8") : "").toBe("");
      expect(existsSync(file("after"))).toBe(false);
    } finally {
      disk.unmount();
    }
  });
});
