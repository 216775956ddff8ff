import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, it } from "vitest";

import { readNatsSeed } from "./natsSeed.ts";

const SEED = `SU${"A".repeat(56)}`;
const folder = mkdtempSync(join(tmpdir(), "infer-nats-seed-"));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });
function written(name: string, text: string, mode = 0o600): string {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), mode); // whatever the umask is
  return name;
}
mkdirSync(join(folder, "seeds"));
written("seeds/router.nk", `${SEED}\n`);
const read = (environment: NodeJS.ProcessEnv) => readNatsSeed("router", environment, folder);

it.each([
  ["nothing", {}, undefined],
  ["the variable", { NATS_NKEY_SEED: SEED }, SEED],
  ["a file", { NATS_NKEY_SEED_FILE: written("own.nk", `${SEED}\n`) }, SEED],
  ["a file that a group may read", { NATS_NKEY_SEED_FILE: written("group.nk", SEED, 0o440) }, SEED],
  ["the role's own file of a folder", { NATS_NKEY_SEED_FILE: "seeds" }, SEED],
])("reads %s", (_what, environment, seed) => { expect(read(environment)).toEqual({ seed }); });

it.each([
  ["that others may read", { NATS_NKEY_SEED_FILE: written("open.nk", SEED, 0o644) }, /open\.nk: others can read or change it.*chmod 600/],
  ["that a group may change", { NATS_NKEY_SEED_FILE: written("shared.nk", SEED, 0o660) }, /shared\.nk: others can read or change it/],
  ["without a seed", { NATS_NKEY_SEED_FILE: written("empty.nk", "x") }, /empty\.nk: holds no seed/],
  ["that is not there", { NATS_NKEY_SEED_FILE: "gone.nk" }, /gone\.nk: cannot be read \(ENOENT\)/],
  ["beside the variable", { NATS_NKEY_SEED_FILE: "own.nk", NATS_NKEY_SEED: SEED }, /both are set/],
])("refuses a file %s, and quotes no seed", (_what, environment, message) => {
  const found = read(environment);
  expect(found).toEqual({ problem: expect.stringMatching(message) as unknown });
  expect(JSON.stringify(found)).not.toContain(SEED);
});
