import { expect, it } from "vitest";

import { makeAdmissionProof } from "./admissionProof.ts";

const SECRET = "s".repeat(32);
const ID = { tenant_id: "t1", request_id: "r1" };
const proof = makeAdmissionProof(SECRET, "infer").sign(ID, "gateway-1");

it("believes what another process with the same secret signed", () => {
  expect(proof).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(makeAdmissionProof(SECRET, "infer").isGenuine(ID, "gateway-1", proof)).toBe(true);
});

it.each([
  ["no proof", "infer", ID, "gateway-1", undefined],
  ["an empty one", "infer", ID, "gateway-1", ""],
  ["a part of one", "infer", ID, "gateway-1", proof?.slice(0, 40)],
  ["another request's", "infer", { ...ID, request_id: "r2" }, "gateway-1", proof],
  ["another tenant's", "infer", { ...ID, tenant_id: "t2" }, "gateway-1", proof],
  ["another gateway's", "infer", ID, "gateway-2", proof],
  ["one of another set-up on the same server", "other", ID, "gateway-1", proof],
  ["one for whoever comes without a gateway", "infer", ID, "direct", makeAdmissionProof(SECRET, "infer").sign(ID, "direct")],
])("does not believe %s", (_what, prefix, id, origin, shown) => {
  expect(makeAdmissionProof(SECRET, prefix).isGenuine(id, origin, shown)).toBe(false);
});

it("does not believe what was signed with another secret", () => {
  expect(makeAdmissionProof("t".repeat(32), "infer").isGenuine(ID, "gateway-1", proof)).toBe(false);
});

it("signs nothing without a secret and believes every gateway's name, and no other", () => {
  const { sign, isGenuine } = makeAdmissionProof(null, "infer");
  expect([sign(ID, "gateway-1"), isGenuine(ID, "gateway-1", undefined), isGenuine(ID, "direct", undefined)]).toEqual([undefined, true, false]);
});
