CREATE TABLE "ledger" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"kind" text NOT NULL,
	"part" text NOT NULL,
	"user_id" text,
	"key_id" text,
	"tier" text NOT NULL,
	"model" text NOT NULL,
	"policy" text,
	"cost_nano_usd" bigint NOT NULL,
	"is_charged" boolean NOT NULL,
	"cost_is_partial" boolean NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"stream" text NOT NULL,
	"stream_seq" bigint NOT NULL,
	CONSTRAINT "ledger_request_id_tenant_id_kind_part_at_pk" PRIMARY KEY("request_id","tenant_id","kind","part","at")
);
--> statement-breakpoint
CREATE TABLE "ledger_requests" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"user_id" text,
	"key_id" text,
	"policy" text,
	"tier" text,
	"model" text,
	"outcome" text NOT NULL,
	"cache" text,
	"baseline_tier" text,
	"baseline_cost_nano_usd" bigint,
	"cost_is_partial" boolean NOT NULL,
	"stream_seq" bigint NOT NULL,
	CONSTRAINT "ledger_requests_request_id_tenant_id_at_pk" PRIMARY KEY("request_id","tenant_id","at")
);
--> statement-breakpoint
CREATE INDEX "ledger_by_time" ON "ledger" USING btree ("at");--> statement-breakpoint
CREATE INDEX "ledger_by_tenant" ON "ledger" USING btree ("tenant_id","at");--> statement-breakpoint
CREATE INDEX "ledger_requests_by_time" ON "ledger_requests" USING btree ("at");--> statement-breakpoint
CREATE INDEX "ledger_requests_by_tenant" ON "ledger_requests" USING btree ("tenant_id","at");
--> statement-breakpoint
ALTER TABLE "ledger" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE "ledger_requests" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY own_rows ON "ledger" TO infer_tenant USING (tenant_id = current_setting('app.tenant', true)) WITH CHECK (tenant_id = current_setting('app.tenant', true));
--> statement-breakpoint
CREATE POLICY own_rows ON "ledger_requests" TO infer_tenant USING (tenant_id = current_setting('app.tenant', true)) WITH CHECK (tenant_id = current_setting('app.tenant', true));
--> statement-breakpoint
GRANT SELECT ON "ledger", "ledger_requests" TO infer_tenant;
--> statement-breakpoint
-- What the audit still has, as the sink would have booked it (shared/ledger/linesOf.ts). Late runs come from DEAD_LETTERS, which the sink reads from its beginning.
INSERT INTO "ledger_requests" ("tenant_id", "request_id", "at", "user_id", "key_id", "policy", "tier", "model", "outcome", "cache", "baseline_tier", "baseline_cost_nano_usd", "cost_is_partial", "stream_seq")
SELECT r.tenant_id, r.request_id, r.accepted_at, r.user_id, r.key_id, r.policy, r.tier, r.model, r.outcome, r.cache ->> 'kind', r.baseline_tier, r.baseline_cost_nano_usd,
	EXISTS (SELECT FROM attempts a WHERE a.request_id = r.request_id AND a.tenant_id = r.tenant_id AND a.cost_is_partial), r.stream_seq
FROM "requests" r ON CONFLICT DO NOTHING;
--> statement-breakpoint
INSERT INTO "ledger" ("tenant_id", "request_id", "kind", "part", "user_id", "key_id", "tier", "model", "policy", "cost_nano_usd", "is_charged", "cost_is_partial", "at", "stream", "stream_seq")
SELECT a.tenant_id, a.request_id, line.kind, a.attempt::text, r.user_id, r.key_id, a.tier, a.model, r.policy, line.cost, true, a.cost_is_partial, r.accepted_at, 'COMPLETIONS', r.stream_seq
FROM "attempts" a JOIN "requests" r USING (tenant_id, request_id)
CROSS JOIN LATERAL (SELECT LEAST(a.cost_nano_usd, COALESCE(sum((one ->> 'cost_nano_usd')::bigint), 0)::bigint) AS cost FROM jsonb_array_elements(a.checks) AS one) AS checked
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM jsonb_array_elements(r.decisions) AS d WHERE (d ->> 'after_attempt')::int = a.attempt - 1 AND d #>> '{step,kind}' = 'run' AND d #>> '{exploration,is_explored}' = 'true') AS is_explored) AS chosen
CROSS JOIN LATERAL (VALUES (CASE WHEN chosen.is_explored THEN 'exploration' ELSE 'attempt' END, a.cost_nano_usd - checked.cost), ('verification', checked.cost)) AS line(kind, cost)
WHERE line.cost > 0 ON CONFLICT DO NOTHING;
--> statement-breakpoint
INSERT INTO "ledger" ("tenant_id", "request_id", "kind", "part", "user_id", "key_id", "tier", "model", "policy", "cost_nano_usd", "is_charged", "cost_is_partial", "at", "stream", "stream_seq")
SELECT s.tenant_id, s.request_id, 'shadow', call ->> 'tier', NULL, NULL, call ->> 'tier', call ->> 'model', s.policy, (call ->> 'cost_nano_usd')::bigint, false, (call ->> 'cost_is_partial')::boolean, s.at, 'SHADOWS', s.stream_seq
FROM "shadows" s CROSS JOIN LATERAL jsonb_array_elements(s.tiers) AS call
WHERE call ->> 'is_shadow' = 'true' AND (call ->> 'cost_nano_usd')::bigint > 0 ON CONFLICT DO NOTHING;
--> statement-breakpoint
-- Of an older release, which did not say how each tier did.
INSERT INTO "ledger" ("tenant_id", "request_id", "kind", "part", "user_id", "key_id", "tier", "model", "policy", "cost_nano_usd", "is_charged", "cost_is_partial", "at", "stream", "stream_seq")
SELECT tenant_id, request_id, 'shadow', reference_tier, NULL, NULL, reference_tier, COALESCE(reference_model, ''), policy, cost_nano_usd, false, cost_is_partial, at, 'SHADOWS', stream_seq
FROM "shadows" WHERE jsonb_array_length(tiers) = 0 AND cost_nano_usd > 0 ON CONFLICT DO NOTHING;
--> statement-breakpoint
INSERT INTO "ledger" ("tenant_id", "request_id", "kind", "part", "user_id", "key_id", "tier", "model", "policy", "cost_nano_usd", "is_charged", "cost_is_partial", "at", "stream", "stream_seq")
SELECT tenant_id, request_id, 'shadow', tier, NULL, NULL, tier, model, NULL, cost_nano_usd, false, cost_is_partial, at, 'SHADOWS', stream_seq
FROM "shadow_tiers" WHERE cost_nano_usd > 0 ON CONFLICT DO NOTHING;
--> statement-breakpoint
INSERT INTO "ledger" ("tenant_id", "request_id", "kind", "part", "user_id", "key_id", "tier", "model", "policy", "cost_nano_usd", "is_charged", "cost_is_partial", "at", "stream", "stream_seq")
SELECT tenant_id, request_id, 'cache_audit', tier, NULL, NULL, tier, model, NULL, cost_nano_usd, false, cost_is_partial, at, 'SHADOWS', stream_seq
FROM "cache_audits" WHERE cost_nano_usd > 0 ON CONFLICT DO NOTHING;
