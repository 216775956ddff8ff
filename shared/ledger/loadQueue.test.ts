import { describe, expect, it } from "vitest";

import { type Account, accountsOf } from "./accounts.ts";
import { makeLoadQueue } from "./loadQueue.ts";

const AT_MS = Date.parse("2026-11-28T12:00:00Z");
const accounts = (tenant: string, user = "u") => accountsOf({ tenant_id: tenant, user_id: user, key_id: null }, "UTC", AT_MS);
const nameOf = ({ scope, tenantId, owner, window }: Account) => `${scope} ${tenantId} ${owner} ${window.id}`;

function world() {
  let nowMs = 0;
  const running: { names: string[]; done: (isThere: boolean) => void; fail: (error: Error) => void }[] = [], failures: unknown[] = [];
  const load = makeLoadQueue({
    loadAll: (all) => new Promise((done, fail) => { running.push({ names: all.map(nameOf), done, fail }); }),
    keyOf: (account, epoch) => `${epoch} ${nameOf(account)}`, observeFailed: (error) => { failures.push(error); }, now: () => nowMs,
  });
  return { load, running, failures, pass: (ms: number) => { nowMs += ms; } };
}
const tick = () => new Promise(setImmediate);

describe("accounts that are wanted", () => {
  it("of one tenant are looked up together, and each once for all who ask meanwhile", async () => {
    const { load, running } = world();
    const first = accounts("t").map((one) => load(one, "e"));
    await tick();
    const again = accounts("t").map((one) => load(one, "e"));
    const other = accounts("t", "another").map((one) => load(one, "e")).slice(2);
    await tick();
    expect(running.map(({ names }) => names.length)).toEqual([4]);
    running[0]?.done(true);
    await tick();
    expect(running[1]?.names).toEqual(["user t another 2026-11-28", "user t another 2026-11"]);
    running[1]?.done(false);
    expect([await Promise.all([...first, ...again]), await Promise.all(other)]).toEqual([Array(8).fill(true), [false, false]]);
  });

  it("of many tenants wait for four of them, in the order in which they came, and one with a thousand users takes its turn like the others", async () => {
    const { load, running } = world();
    for (let i = 0; i < 100; i++) for (const one of accounts("big", `u${i}`)) void load(one, "e");
    for (const tenant of ["a", "b", "c", "d"]) for (const one of accounts(tenant)) void load(one, "e");
    await tick();
    expect(running.map(({ names }) => names.length)).toEqual([64, 4, 4, 4]);
    const order = () => running.slice(4).map(({ names }) => names[0]?.split(" ")[1]);
    for (let i = 0; i < 3; i++) {
      running[i]?.done(true);
      await tick();
    }
    expect(order()).toEqual(["d", "big"]); // the others have no more
  });

  it("after a failure are not there, and not looked up before a second has passed", async () => {
    const { load, running, failures, pass } = world();
    const [account] = accounts("t") as [Account];
    const failed = load(account, "e");
    await tick();
    running[0]?.fail(new Error("Postgres is away"));
    expect([await failed, await load(account, "e"), failures]).toEqual([false, false, [new Error("Postgres is away")]]);
    pass(1_000);
    const again = load(account, "e");
    await tick();
    running[1]?.done(true);
    expect([await again, running.length]).toEqual([true, 2]);
  });
});
