import type { ClientBase } from "pg";

interface Event {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly stream_seq: number;
}

/** The places in a batch of the events whose own row is in the table: `stream_seq` tells them from another event of a used id. */
export function makePlacesOfOwnRows(table: "requests" | "shadows" | "shadow_tiers" | "cache_audits") {
  const query = {
    name: `own_rows_${table}`,
    text: `SELECT place::int - 1 AS place
           FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS event(tenant_id, request_id, stream_seq, place)
           JOIN ${table} USING (tenant_id, request_id, stream_seq)`,
  };
  return async (client: ClientBase, events: readonly Event[]): Promise<ReadonlySet<number>> => {
    const values = (["tenant_id", "request_id", "stream_seq"] as const).map((column) => events.map((event) => event[column]));
    const { rows } = await client.query<{ place: number }>({ ...query, values });
    return new Set(rows.map(({ place }) => place));
  };
}
