import { expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { erasedName, groupErasures } from "#shared/erasure/erasures.ts";

import type { AuditBatch, AuditSource } from "./auditSource.ts";
import { withoutErased } from "./withoutErased.ts";

const EVENT = Completion.parse(fixture);
const record = (request_id: string, user_id: string, seq: number | null) => ({ seq, completion: { ...EVENT, request_id, user_id } });
const TORN = { at: "line 3", why: "not_json" as const, what: "is no JSON" };
const SOURCE: AuditSource = {
  name: "two batches", total: 3,
  async *batches({ after }): AsyncIterable<AuditBatch> {
    if (after === undefined) yield { records: [record("a", "ann", 1), record("b", "bob", 2)], unreadable: [TORN], cursor: "2" };
    yield { records: [record("c", "ann", null)], unreadable: [], cursor: "3" };
  },
};

it("counts who was erased and gives all others, in the same batches and from the same places", async () => {
  const erasures = groupErasures([{ tenantId: EVENT.tenant_id, subject: erasedName("s", EVENT.tenant_id, "ann"), salt: "s", coversUntilMs: EVENT.accepted_at_ms }]);
  const source = withoutErased(SOURCE, erasures);
  const read = async (after?: string) => {
    const batches = [];
    for await (const { records, unreadable, cursor } of source.batches({ ...(after === undefined ? {} : { after }), signal: new AbortController().signal })) batches.push([records.map(({ completion }) => completion.request_id), unreadable.map(({ at, why }) => `${at} ${why}`), cursor]);
    return batches;
  };
  expect(await read()).toEqual([[["b"], ["line 3 not_json", "#1 erased"], "2"], [[], ["c erased"], "3"]]);
  expect(await read("2")).toEqual([[[], ["c erased"], "3"]]);
  expect([source.name, source.total]).toEqual([SOURCE.name, SOURCE.total]);
});
