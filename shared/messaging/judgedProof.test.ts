import { expect, it } from "vitest";

import { makeAdmissionProof } from "#shared/limits/admissionProof.ts";

import { makeJudgedProof } from "./judgedProof.ts";

const SECRET = "s".repeat(32);
const ID = { tenant_id: "t1", request_id: "r1" };
const SAID = { source: "judge", score: 0.25 };
const proof = makeJudgedProof(SECRET, "infer").sign(ID, SAID);
const isBelieved = (over: { secret?: string; prefix?: string; id?: typeof ID; said?: typeof SAID; shown?: string | undefined }) => {
  const { secret = SECRET, prefix = "infer", id = ID, said = SAID } = over;
  return makeJudgedProof(secret, prefix).isGenuine(id, said, "shown" in over ? over.shown : proof);
};

it("believes what another process with the same secret signed", () => { expect(isBelieved({})).toBe(true); });

it.each<[string, Parameters<typeof isBelieved>[0]]>([
  ["no proof", { shown: undefined }], ["an empty one", { shown: "" }], ["one of an admitted request", { shown: makeAdmissionProof(SECRET, "infer").sign(ID, "judge\n0.25") }],
  ["another request's", { id: { ...ID, request_id: "r2" } }], ["another tenant's", { id: { ...ID, tenant_id: "t2" } }], ["another score", { said: { ...SAID, score: 0 } }], ["another source", { said: { ...SAID, source: "label" } }],
  ["one of another set-up on the same server", { prefix: "other" }], ["one under another secret", { secret: "t".repeat(32) }],
])("does not believe %s", (_what, over) => { expect(isBelieved(over)).toBe(false); });

it("signs nothing without a secret, and believes everybody", () => {
  const { sign, isGenuine } = makeJudgedProof(null, "infer");
  expect([sign(ID, SAID), isGenuine(ID, SAID, undefined)]).toEqual([undefined, true]);
});
