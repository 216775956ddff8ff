/** What of a batch's events may not be written: of those who were erased nothing but their cost, and of some tenants no answers. Read in the transaction that writes. */
import { createHash } from "node:crypto";

import type { ClientBase } from "pg";

import { holdErasures } from "#shared/erasure/eraseLock.ts";
import { erasedName, type Erasure, erasureOf, groupErasures } from "#shared/erasure/erasures.ts";

import type { Rows } from "./toRows.ts";

const RULES = {
  name: "left_out",
  text: `SELECT tenant_id, settings #>> '{retention,outputs}' = 'hashed' AS hashes_outputs, subject, salt, covers_until AS covers
         FROM unnest($1::text[]) AS one(tenant_id) LEFT JOIN tenants USING (tenant_id) LEFT JOIN erasures USING (tenant_id)`,
};
interface RuleRow {
  readonly tenant_id: string;
  readonly hashes_outputs: boolean | null;
  /** `null`, as the next two: nobody of it was erased. */
  readonly subject: string | null;
  readonly salt: string | null;
  readonly covers: Date | null;
}

/** What is to be written of each, in their order; `isErased`: no row of its own, and books without a name. */
export type Allowed = Rows & { readonly isErased: boolean };
export async function leaveOut(client: ClientBase, batch: readonly Rows[]): Promise<Allowed[]> {
  await holdErasures(client);
  const { rows } = await client.query<RuleRow>({ ...RULES, values: [[...new Set(batch.map(({ request }) => request.tenant_id))]] });
  const hashesOutputs = new Set(rows.flatMap(({ tenant_id, hashes_outputs }) => (hashes_outputs === true ? [tenant_id] : [])));
  const erasures = groupErasures(rows.flatMap(({ tenant_id, subject, salt, covers }) => (subject === null || salt === null || covers === null ? [] : [{ tenantId: tenant_id, subject, salt, coversUntilMs: covers.getTime() }])));
  return batch.map((one): Allowed => {
    const { tenant_id, user_id = null, accepted_at } = one.request;
    const erasure = erasureOf(erasures, { tenant_id, user_id, accepted_at_ms: Date.parse(accepted_at) });
    if (erasure !== null) return { ...withoutName(one, erasure), isErased: true };
    return { ...(hashesOutputs.has(tenant_id) ? withoutOutput(one) : one), isErased: false };
  });
}

function withoutName({ booked, lines, ...rest }: Rows, { salt, tenantId }: Erasure): Rows {
  const rename = <T extends { readonly user_id?: string | null | undefined }>(row: T): T => (row.user_id == null ? row : { ...row, user_id: erasedName(salt, tenantId, row.user_id) });
  return { ...rest, booked: rename(booked), lines: lines.map(rename) };
}

function withoutOutput({ request, ...rest }: Rows): Rows {
  const { output, message } = request;
  const answer = output ?? (message == null ? null : JSON.stringify(message));
  return { ...rest, request: { ...request, output: null, message: null, output_sha256: answer === null ? null : createHash("sha256").update(answer).digest("hex") } };
}

const ERASED = {
  name: "erased_places",
  text: `SELECT place::int - 1 AS place FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS event(tenant_id, request_id, at, place)
         WHERE EXISTS (SELECT FROM erasures AS known WHERE known.tenant_id = event.tenant_id AND ((known.subject = '' AND event.at <= known.covers_until) OR EXISTS (
           SELECT FROM ledger_requests AS asked WHERE asked.request_id = event.request_id AND asked.tenant_id = event.tenant_id AND asked.at <= known.covers_until AND known.subject IN ('', asked.user_id))))`,
};
/** Places of those that are about a request of somebody who was erased, as far as the books know it by now: what comes before its request is deleted later (`keepErased`). */
export async function placesOfErased(client: ClientBase, events: readonly { readonly tenant_id: string; readonly request_id: string; readonly at: string }[]): Promise<ReadonlySet<number>> {
  await holdErasures(client);
  const values = (["tenant_id", "request_id", "at"] as const).map((column) => events.map((event) => event[column]));
  const { rows } = await client.query<{ place: number }>({ ...ERASED, values });
  return new Set(rows.map(({ place }) => place));
}
