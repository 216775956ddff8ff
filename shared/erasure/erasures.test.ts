import { describe, expect, it } from "vitest";

import { erasedName, type Erasure, groupErasures, isErased, NOBODY_ERASED, WHOLE_TENANT } from "./erasures.ts";

const erasure = (over: Partial<Erasure>): Erasure => ({ tenantId: "t1", subject: erasedName("salt", "t1", "ann"), salt: "salt", coversUntilMs: 1_000, ...over });
const event = (over: object = {}) => ({ tenant_id: "t1", user_id: "ann", accepted_at_ms: 1_000, ...over });

describe("an event", () => {
  it.each<[string, Partial<Erasure>, object, boolean]>([
    ["of the user", {}, {}, true],
    ["of the user that was accepted later", {}, { accepted_at_ms: 1_001 }, false],
    ["of another user", {}, { user_id: "bob" }, false],
    ["of a user of that name of another tenant", {}, { tenant_id: "t2" }, false],
    ["of nobody that could be read", {}, { user_id: null }, false],
    ["of the tenant", { subject: WHOLE_TENANT }, { user_id: "bob" }, true],
    ["of the tenant, of nobody that could be read", { subject: WHOLE_TENANT }, { user_id: null }, true],
    ["of the tenant that was accepted later", { subject: WHOLE_TENANT }, { accepted_at_ms: 1_001 }, false],
    ["of another tenant", { subject: WHOLE_TENANT }, { tenant_id: "t2" }, false],
  ])("%s", (_what, over, of, expected) => {
    expect(isErased(groupErasures([erasure(over)]), event(of))).toBe(expected);
    expect(isErased(NOBODY_ERASED, event(of))).toBe(false);
  });

  it("is found among several erasures of its tenant", () => {
    const list = groupErasures([erasure({ coversUntilMs: 1 }), erasure({ subject: WHOLE_TENANT, coversUntilMs: 2 }), erasure({ subject: erasedName("salt", "t1", "bob"), coversUntilMs: 5_000 })]);
    expect([isErased(list, event()), isErased(list, event({ user_id: "bob" })), isErased(list, event({ accepted_at_ms: 2 }))]).toEqual([false, true, true]);
  });
});

it("a name says nothing without its salt, and differs from tenant to tenant", () => {
  expect(erasedName("salt", "t1", "ann")).toMatch(/^erased-[0-9a-f]{32}$/);
  expect(new Set([erasedName("salt", "t1", "ann"), erasedName("other", "t1", "ann"), erasedName("salt", "t2", "ann"), erasedName("salt", "t1", "bob")]).size).toBe(4);
});
