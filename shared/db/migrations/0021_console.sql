CREATE TABLE "beside_requests" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"tier" text,
	"attempted" text,
	"net" numeric NOT NULL,
	"net_of_tier" numeric NOT NULL,
	CONSTRAINT "beside_requests_request_id_tenant_id_at_pk" PRIMARY KEY("request_id","tenant_id","at")
);
--> statement-breakpoint
CREATE TABLE "line_hours" (
	"tenant_id" text NOT NULL,
	"hour" timestamp with time zone NOT NULL,
	"tier" text NOT NULL,
	"attempt" numeric NOT NULL,
	"verification" numeric NOT NULL,
	"exploration" numeric NOT NULL,
	"shadow" numeric NOT NULL,
	"cache_audit" numeric NOT NULL,
	"waste" numeric NOT NULL,
	"calls" integer NOT NULL,
	"apart" integer NOT NULL,
	"apart_nano_usd" numeric NOT NULL,
	"apart_square" numeric NOT NULL,
	CONSTRAINT "line_hours_tenant_id_hour_tier_pk" PRIMARY KEY("tenant_id","hour","tier")
);
--> statement-breakpoint
CREATE TABLE "request_hours" (
	"tenant_id" text NOT NULL,
	"hour" timestamp with time zone NOT NULL,
	"tier" text NOT NULL,
	"policy" text NOT NULL,
	"path" text NOT NULL,
	"baseline_tier" text NOT NULL,
	"completed" integer NOT NULL,
	"degraded" integer NOT NULL,
	"failed" integer NOT NULL,
	"rejected" integer NOT NULL,
	"late" integer NOT NULL,
	"unknown_baselines" integer NOT NULL,
	"partly_known" integer NOT NULL,
	"baseline_nano_usd" numeric NOT NULL,
	"paid_nano_usd" numeric NOT NULL,
	"paid_to_answer_tier_nano_usd" numeric NOT NULL,
	"net_square" numeric NOT NULL,
	"net_of_tier_square" numeric NOT NULL,
	"slowest_ms" integer NOT NULL,
	"ms_0" integer NOT NULL,
	"ms_1" integer NOT NULL,
	"ms_2" integer NOT NULL,
	"ms_3" integer NOT NULL,
	"ms_4" integer NOT NULL,
	"ms_5" integer NOT NULL,
	"ms_6" integer NOT NULL,
	"ms_7" integer NOT NULL,
	"ms_8" integer NOT NULL,
	"ms_9" integer NOT NULL,
	"ms_10" integer NOT NULL,
	"ms_11" integer NOT NULL,
	"ms_12" integer NOT NULL,
	"ms_13" integer NOT NULL,
	"ms_14" integer NOT NULL,
	"ms_15" integer NOT NULL,
	"ms_16" integer NOT NULL,
	"ms_17" integer NOT NULL,
	"ms_18" integer NOT NULL,
	"ms_19" integer NOT NULL,
	"ms_20" integer NOT NULL,
	"ms_21" integer NOT NULL,
	"ms_22" integer NOT NULL,
	"ms_23" integer NOT NULL,
	"ms_24" integer NOT NULL,
	"ms_25" integer NOT NULL,
	"ms_26" integer NOT NULL,
	"ms_27" integer NOT NULL,
	"ms_28" integer NOT NULL,
	"ms_29" integer NOT NULL,
	"ms_30" integer NOT NULL,
	"ms_31" integer NOT NULL,
	"ms_32" integer NOT NULL,
	"ms_33" integer NOT NULL,
	"ms_34" integer NOT NULL,
	"ms_35" integer NOT NULL,
	"ms_36" integer NOT NULL,
	"ms_37" integer NOT NULL,
	"ms_38" integer NOT NULL,
	"ms_39" integer NOT NULL,
	"ms_40" integer NOT NULL,
	"ms_41" integer NOT NULL,
	"ms_42" integer NOT NULL,
	"ms_43" integer NOT NULL,
	"ms_44" integer NOT NULL,
	"ms_45" integer NOT NULL,
	"ms_46" integer NOT NULL,
	"ms_47" integer NOT NULL,
	"ms_48" integer NOT NULL,
	"ms_49" integer NOT NULL,
	"ms_50" integer NOT NULL,
	"ms_51" integer NOT NULL,
	"ms_52" integer NOT NULL,
	"ms_53" integer NOT NULL,
	"ms_54" integer NOT NULL,
	CONSTRAINT "request_hours_tenant_id_hour_tier_policy_path_baseline_tier_pk" PRIMARY KEY("tenant_id","hour","tier","policy","path","baseline_tier")
);
--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "attempted" text;--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "latency_ms" integer;--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "error_code" text;--> statement-breakpoint
CREATE INDEX "beside_requests_by_time" ON "beside_requests" USING btree ("at")

--> statement-breakpoint
-- Made from shared/ledger/hourSums.ts, whose test compares them. They run with the rights of whoever inserts.
CREATE FUNCTION roll_up_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO request_hours AS kept (tenant_id, hour, tier, policy, path, baseline_tier, completed, degraded, failed, rejected, late, unknown_baselines, partly_known, baseline_nano_usd, paid_nano_usd, paid_to_answer_tier_nano_usd, net_square, net_of_tier_square, slowest_ms, ms_0, ms_1, ms_2, ms_3, ms_4, ms_5, ms_6, ms_7, ms_8, ms_9, ms_10, ms_11, ms_12, ms_13, ms_14, ms_15, ms_16, ms_17, ms_18, ms_19, ms_20, ms_21, ms_22, ms_23, ms_24, ms_25, ms_26, ms_27, ms_28, ms_29, ms_30, ms_31, ms_32, ms_33, ms_34, ms_35, ms_36, ms_37, ms_38, ms_39, ms_40, ms_41, ms_42, ms_43, ms_44, ms_45, ms_46, ms_47, ms_48, ms_49, ms_50, ms_51, ms_52, ms_53, ms_54)
  SELECT tenant_id, hour, tier, policy, path, baseline_tier, (count(*) FILTER (WHERE outcome = 'completed'))::int AS completed, (count(*) FILTER (WHERE outcome = 'degraded'))::int AS degraded, (count(*) FILTER (WHERE outcome = 'failed'))::int AS failed, (count(*) FILTER (WHERE outcome = 'rejected'))::int AS rejected, (count(*) FILTER (WHERE outcome = 'failed' AND error_code = 'deadline_exceeded'))::int AS late, (count(*) FILTER (WHERE outcome IN ('completed', 'degraded') AND baseline_cost_nano_usd IS NULL))::int AS unknown_baselines, (count(*) FILTER (WHERE cost_is_partial))::int AS partly_known, COALESCE(sum(baseline_cost_nano_usd) FILTER (WHERE outcome IN ('completed', 'degraded')), 0) AS baseline_nano_usd, COALESCE(sum(paid_nano_usd) FILTER (WHERE true), 0) AS paid_nano_usd, COALESCE(sum(paid_to_answer_tier_nano_usd) FILTER (WHERE true), 0) AS paid_to_answer_tier_nano_usd, COALESCE(sum(net::numeric * net) FILTER (WHERE true), 0) AS net_square, COALESCE(sum(net_of_tier::numeric * net_of_tier) FILTER (WHERE true), 0) AS net_of_tier_square, COALESCE(max(latency_ms), 0) AS slowest_ms, (count(*) FILTER (WHERE bucket = 0))::int AS ms_0, (count(*) FILTER (WHERE bucket = 1))::int AS ms_1, (count(*) FILTER (WHERE bucket = 2))::int AS ms_2, (count(*) FILTER (WHERE bucket = 3))::int AS ms_3, (count(*) FILTER (WHERE bucket = 4))::int AS ms_4, (count(*) FILTER (WHERE bucket = 5))::int AS ms_5, (count(*) FILTER (WHERE bucket = 6))::int AS ms_6, (count(*) FILTER (WHERE bucket = 7))::int AS ms_7, (count(*) FILTER (WHERE bucket = 8))::int AS ms_8, (count(*) FILTER (WHERE bucket = 9))::int AS ms_9, (count(*) FILTER (WHERE bucket = 10))::int AS ms_10, (count(*) FILTER (WHERE bucket = 11))::int AS ms_11, (count(*) FILTER (WHERE bucket = 12))::int AS ms_12, (count(*) FILTER (WHERE bucket = 13))::int AS ms_13, (count(*) FILTER (WHERE bucket = 14))::int AS ms_14, (count(*) FILTER (WHERE bucket = 15))::int AS ms_15, (count(*) FILTER (WHERE bucket = 16))::int AS ms_16, (count(*) FILTER (WHERE bucket = 17))::int AS ms_17, (count(*) FILTER (WHERE bucket = 18))::int AS ms_18, (count(*) FILTER (WHERE bucket = 19))::int AS ms_19, (count(*) FILTER (WHERE bucket = 20))::int AS ms_20, (count(*) FILTER (WHERE bucket = 21))::int AS ms_21, (count(*) FILTER (WHERE bucket = 22))::int AS ms_22, (count(*) FILTER (WHERE bucket = 23))::int AS ms_23, (count(*) FILTER (WHERE bucket = 24))::int AS ms_24, (count(*) FILTER (WHERE bucket = 25))::int AS ms_25, (count(*) FILTER (WHERE bucket = 26))::int AS ms_26, (count(*) FILTER (WHERE bucket = 27))::int AS ms_27, (count(*) FILTER (WHERE bucket = 28))::int AS ms_28, (count(*) FILTER (WHERE bucket = 29))::int AS ms_29, (count(*) FILTER (WHERE bucket = 30))::int AS ms_30, (count(*) FILTER (WHERE bucket = 31))::int AS ms_31, (count(*) FILTER (WHERE bucket = 32))::int AS ms_32, (count(*) FILTER (WHERE bucket = 33))::int AS ms_33, (count(*) FILTER (WHERE bucket = 34))::int AS ms_34, (count(*) FILTER (WHERE bucket = 35))::int AS ms_35, (count(*) FILTER (WHERE bucket = 36))::int AS ms_36, (count(*) FILTER (WHERE bucket = 37))::int AS ms_37, (count(*) FILTER (WHERE bucket = 38))::int AS ms_38, (count(*) FILTER (WHERE bucket = 39))::int AS ms_39, (count(*) FILTER (WHERE bucket = 40))::int AS ms_40, (count(*) FILTER (WHERE bucket = 41))::int AS ms_41, (count(*) FILTER (WHERE bucket = 42))::int AS ms_42, (count(*) FILTER (WHERE bucket = 43))::int AS ms_43, (count(*) FILTER (WHERE bucket = 44))::int AS ms_44, (count(*) FILTER (WHERE bucket = 45))::int AS ms_45, (count(*) FILTER (WHERE bucket = 46))::int AS ms_46, (count(*) FILTER (WHERE bucket = 47))::int AS ms_47, (count(*) FILTER (WHERE bucket = 48))::int AS ms_48, (count(*) FILTER (WHERE bucket = 49))::int AS ms_49, (count(*) FILTER (WHERE bucket = 50))::int AS ms_50, (count(*) FILTER (WHERE bucket = 51))::int AS ms_51, (count(*) FILTER (WHERE bucket = 52))::int AS ms_52, (count(*) FILTER (WHERE bucket = 53))::int AS ms_53, (count(*) FILTER (WHERE bucket = 54))::int AS ms_54
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, COALESCE(tier, '') AS tier, COALESCE(policy, '') AS policy, CASE WHEN cache IS NOT NULL THEN 'cache' WHEN attempted <> '' THEN '>' || replace(attempted, ',', '>') ELSE '' END AS path, COALESCE(baseline_tier, '') AS baseline_tier,
      outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_nano_usd AS net, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_to_answer_tier_nano_usd AS net_of_tier,
      CASE WHEN outcome IN ('completed', 'degraded') THEN width_bucket(latency_ms, ARRAY[1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 35, 46, 60, 78, 101, 131, 170, 221, 287, 373, 485, 631, 820, 1066, 1386, 1802, 2343, 3046, 3960, 5148, 6692, 8700, 11310, 14703, 19114, 24848, 32302, 41993, 54591, 70968, 92258, 119935, 155916, 202691, 263498, 342547, 445311, 578904, 752575, 978348, 1271852, 1653408, 2149430]) END AS bucket
    FROM (SELECT shown.tenant_id, at, tier, policy, cache, attempted, baseline_tier, outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms FROM added AS row_of CROSS JOIN LATERAL (VALUES (row_of.tenant_id), ('')) AS shown(tenant_id)) AS booked) AS one
  GROUP BY 1, 2, 3, 4, 5, 6
  ORDER BY tenant_id, hour, tier, policy, path, baseline_tier
  ON CONFLICT (tenant_id, hour, tier, policy, path, baseline_tier) DO UPDATE SET completed = kept.completed + EXCLUDED.completed, degraded = kept.degraded + EXCLUDED.degraded, failed = kept.failed + EXCLUDED.failed, rejected = kept.rejected + EXCLUDED.rejected, late = kept.late + EXCLUDED.late, unknown_baselines = kept.unknown_baselines + EXCLUDED.unknown_baselines, partly_known = kept.partly_known + EXCLUDED.partly_known, baseline_nano_usd = kept.baseline_nano_usd + EXCLUDED.baseline_nano_usd, paid_nano_usd = kept.paid_nano_usd + EXCLUDED.paid_nano_usd, paid_to_answer_tier_nano_usd = kept.paid_to_answer_tier_nano_usd + EXCLUDED.paid_to_answer_tier_nano_usd, net_square = kept.net_square + EXCLUDED.net_square, net_of_tier_square = kept.net_of_tier_square + EXCLUDED.net_of_tier_square, slowest_ms = GREATEST(kept.slowest_ms, EXCLUDED.slowest_ms), ms_0 = kept.ms_0 + EXCLUDED.ms_0, ms_1 = kept.ms_1 + EXCLUDED.ms_1, ms_2 = kept.ms_2 + EXCLUDED.ms_2, ms_3 = kept.ms_3 + EXCLUDED.ms_3, ms_4 = kept.ms_4 + EXCLUDED.ms_4, ms_5 = kept.ms_5 + EXCLUDED.ms_5, ms_6 = kept.ms_6 + EXCLUDED.ms_6, ms_7 = kept.ms_7 + EXCLUDED.ms_7, ms_8 = kept.ms_8 + EXCLUDED.ms_8, ms_9 = kept.ms_9 + EXCLUDED.ms_9, ms_10 = kept.ms_10 + EXCLUDED.ms_10, ms_11 = kept.ms_11 + EXCLUDED.ms_11, ms_12 = kept.ms_12 + EXCLUDED.ms_12, ms_13 = kept.ms_13 + EXCLUDED.ms_13, ms_14 = kept.ms_14 + EXCLUDED.ms_14, ms_15 = kept.ms_15 + EXCLUDED.ms_15, ms_16 = kept.ms_16 + EXCLUDED.ms_16, ms_17 = kept.ms_17 + EXCLUDED.ms_17, ms_18 = kept.ms_18 + EXCLUDED.ms_18, ms_19 = kept.ms_19 + EXCLUDED.ms_19, ms_20 = kept.ms_20 + EXCLUDED.ms_20, ms_21 = kept.ms_21 + EXCLUDED.ms_21, ms_22 = kept.ms_22 + EXCLUDED.ms_22, ms_23 = kept.ms_23 + EXCLUDED.ms_23, ms_24 = kept.ms_24 + EXCLUDED.ms_24, ms_25 = kept.ms_25 + EXCLUDED.ms_25, ms_26 = kept.ms_26 + EXCLUDED.ms_26, ms_27 = kept.ms_27 + EXCLUDED.ms_27, ms_28 = kept.ms_28 + EXCLUDED.ms_28, ms_29 = kept.ms_29 + EXCLUDED.ms_29, ms_30 = kept.ms_30 + EXCLUDED.ms_30, ms_31 = kept.ms_31 + EXCLUDED.ms_31, ms_32 = kept.ms_32 + EXCLUDED.ms_32, ms_33 = kept.ms_33 + EXCLUDED.ms_33, ms_34 = kept.ms_34 + EXCLUDED.ms_34, ms_35 = kept.ms_35 + EXCLUDED.ms_35, ms_36 = kept.ms_36 + EXCLUDED.ms_36, ms_37 = kept.ms_37 + EXCLUDED.ms_37, ms_38 = kept.ms_38 + EXCLUDED.ms_38, ms_39 = kept.ms_39 + EXCLUDED.ms_39, ms_40 = kept.ms_40 + EXCLUDED.ms_40, ms_41 = kept.ms_41 + EXCLUDED.ms_41, ms_42 = kept.ms_42 + EXCLUDED.ms_42, ms_43 = kept.ms_43 + EXCLUDED.ms_43, ms_44 = kept.ms_44 + EXCLUDED.ms_44, ms_45 = kept.ms_45 + EXCLUDED.ms_45, ms_46 = kept.ms_46 + EXCLUDED.ms_46, ms_47 = kept.ms_47 + EXCLUDED.ms_47, ms_48 = kept.ms_48 + EXCLUDED.ms_48, ms_49 = kept.ms_49 + EXCLUDED.ms_49, ms_50 = kept.ms_50 + EXCLUDED.ms_50, ms_51 = kept.ms_51 + EXCLUDED.ms_51, ms_52 = kept.ms_52 + EXCLUDED.ms_52, ms_53 = kept.ms_53 + EXCLUDED.ms_53, ms_54 = kept.ms_54 + EXCLUDED.ms_54;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER roll_up AFTER INSERT ON "ledger_requests" REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION roll_up_requests();
--> statement-breakpoint
CREATE FUNCTION roll_up_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO line_hours AS kept (tenant_id, hour, tier, attempt, verification, exploration, shadow, cache_audit, waste, calls, apart, apart_nano_usd, apart_square)
  SELECT tenant_id, hour, tier, sum(attempt) AS attempt, sum(verification) AS verification, sum(exploration) AS exploration, sum(shadow) AS shadow, sum(cache_audit) AS cache_audit, sum(waste) AS waste, sum(calls)::int AS calls,
    (count(*) FILTER (WHERE apart > 0))::int AS apart, COALESCE(sum(apart_nano_usd), 0) AS apart_nano_usd, COALESCE(sum(apart_nano_usd * apart_nano_usd), 0) AS apart_square
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, tier, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'attempt'), 0) AS attempt, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'verification'), 0) AS verification, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'exploration'), 0) AS exploration, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'shadow'), 0) AS shadow, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'cache_audit'), 0) AS cache_audit, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'waste'), 0) AS waste,
      count(*) FILTER (WHERE kind IN ('attempt', 'exploration')) AS calls, count(*) FILTER (WHERE stream = 'COMPLETIONS' AND NOT is_to_answer_tier) AS apart, sum(cost_nano_usd) FILTER (WHERE stream = 'COMPLETIONS' AND NOT is_to_answer_tier) AS apart_nano_usd
    FROM (SELECT shown.tenant_id, row_of.tenant_id || ' ' || request_id AS request_id, at, tier, kind, stream, is_to_answer_tier, cost_nano_usd FROM added AS row_of CROSS JOIN LATERAL (VALUES (row_of.tenant_id), ('')) AS shown(tenant_id)) AS booked GROUP BY tenant_id, request_id, at, tier) AS one
  GROUP BY 1, 2, 3
  ORDER BY tenant_id, hour, tier
  ON CONFLICT (tenant_id, hour, tier) DO UPDATE SET attempt = kept.attempt + EXCLUDED.attempt, verification = kept.verification + EXCLUDED.verification, exploration = kept.exploration + EXCLUDED.exploration, shadow = kept.shadow + EXCLUDED.shadow, cache_audit = kept.cache_audit + EXCLUDED.cache_audit, waste = kept.waste + EXCLUDED.waste, calls = kept.calls + EXCLUDED.calls, apart = kept.apart + EXCLUDED.apart, apart_nano_usd = kept.apart_nano_usd + EXCLUDED.apart_nano_usd, apart_square = kept.apart_square + EXCLUDED.apart_square;
  INSERT INTO beside_requests (tenant_id, request_id, at, tier, attempted, net, net_of_tier)
  SELECT asked.* FROM (SELECT DISTINCT tenant_id, request_id FROM added AS row_of WHERE stream <> 'COMPLETIONS') AS beside CROSS JOIN LATERAL (
    SELECT tenant_id, request_id, at, tier, attempted, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_nano_usd AS net, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_to_answer_tier_nano_usd AS net_of_tier FROM ledger_requests q WHERE q.request_id = beside.request_id AND q.tenant_id = beside.tenant_id OFFSET 0) AS asked
  ORDER BY asked.request_id, asked.tenant_id, asked.at ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER roll_up AFTER INSERT ON "ledger" REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION roll_up_lines();
--> statement-breakpoint
-- What the audit still has of requests that are booked already.
ALTER TABLE "ledger_requests" DISABLE TRIGGER append_only;
--> statement-breakpoint
UPDATE "ledger_requests" q SET attempted = COALESCE((SELECT string_agg(a.tier, ',' ORDER BY a.attempt) FROM attempts a WHERE a.request_id = r.request_id AND a.tenant_id = r.tenant_id), ''), latency_ms = r.latency_ms, error_code = r.error_code
FROM "requests" r WHERE r.request_id = q.request_id AND r.tenant_id = q.tenant_id AND r.accepted_at = q.at;
--> statement-breakpoint
ALTER TABLE "ledger_requests" ENABLE TRIGGER append_only;
--> statement-breakpoint
INSERT INTO request_hours AS kept (tenant_id, hour, tier, policy, path, baseline_tier, completed, degraded, failed, rejected, late, unknown_baselines, partly_known, baseline_nano_usd, paid_nano_usd, paid_to_answer_tier_nano_usd, net_square, net_of_tier_square, slowest_ms, ms_0, ms_1, ms_2, ms_3, ms_4, ms_5, ms_6, ms_7, ms_8, ms_9, ms_10, ms_11, ms_12, ms_13, ms_14, ms_15, ms_16, ms_17, ms_18, ms_19, ms_20, ms_21, ms_22, ms_23, ms_24, ms_25, ms_26, ms_27, ms_28, ms_29, ms_30, ms_31, ms_32, ms_33, ms_34, ms_35, ms_36, ms_37, ms_38, ms_39, ms_40, ms_41, ms_42, ms_43, ms_44, ms_45, ms_46, ms_47, ms_48, ms_49, ms_50, ms_51, ms_52, ms_53, ms_54)
  SELECT tenant_id, hour, tier, policy, path, baseline_tier, (count(*) FILTER (WHERE outcome = 'completed'))::int AS completed, (count(*) FILTER (WHERE outcome = 'degraded'))::int AS degraded, (count(*) FILTER (WHERE outcome = 'failed'))::int AS failed, (count(*) FILTER (WHERE outcome = 'rejected'))::int AS rejected, (count(*) FILTER (WHERE outcome = 'failed' AND error_code = 'deadline_exceeded'))::int AS late, (count(*) FILTER (WHERE outcome IN ('completed', 'degraded') AND baseline_cost_nano_usd IS NULL))::int AS unknown_baselines, (count(*) FILTER (WHERE cost_is_partial))::int AS partly_known, COALESCE(sum(baseline_cost_nano_usd) FILTER (WHERE outcome IN ('completed', 'degraded')), 0) AS baseline_nano_usd, COALESCE(sum(paid_nano_usd) FILTER (WHERE true), 0) AS paid_nano_usd, COALESCE(sum(paid_to_answer_tier_nano_usd) FILTER (WHERE true), 0) AS paid_to_answer_tier_nano_usd, COALESCE(sum(net::numeric * net) FILTER (WHERE true), 0) AS net_square, COALESCE(sum(net_of_tier::numeric * net_of_tier) FILTER (WHERE true), 0) AS net_of_tier_square, COALESCE(max(latency_ms), 0) AS slowest_ms, (count(*) FILTER (WHERE bucket = 0))::int AS ms_0, (count(*) FILTER (WHERE bucket = 1))::int AS ms_1, (count(*) FILTER (WHERE bucket = 2))::int AS ms_2, (count(*) FILTER (WHERE bucket = 3))::int AS ms_3, (count(*) FILTER (WHERE bucket = 4))::int AS ms_4, (count(*) FILTER (WHERE bucket = 5))::int AS ms_5, (count(*) FILTER (WHERE bucket = 6))::int AS ms_6, (count(*) FILTER (WHERE bucket = 7))::int AS ms_7, (count(*) FILTER (WHERE bucket = 8))::int AS ms_8, (count(*) FILTER (WHERE bucket = 9))::int AS ms_9, (count(*) FILTER (WHERE bucket = 10))::int AS ms_10, (count(*) FILTER (WHERE bucket = 11))::int AS ms_11, (count(*) FILTER (WHERE bucket = 12))::int AS ms_12, (count(*) FILTER (WHERE bucket = 13))::int AS ms_13, (count(*) FILTER (WHERE bucket = 14))::int AS ms_14, (count(*) FILTER (WHERE bucket = 15))::int AS ms_15, (count(*) FILTER (WHERE bucket = 16))::int AS ms_16, (count(*) FILTER (WHERE bucket = 17))::int AS ms_17, (count(*) FILTER (WHERE bucket = 18))::int AS ms_18, (count(*) FILTER (WHERE bucket = 19))::int AS ms_19, (count(*) FILTER (WHERE bucket = 20))::int AS ms_20, (count(*) FILTER (WHERE bucket = 21))::int AS ms_21, (count(*) FILTER (WHERE bucket = 22))::int AS ms_22, (count(*) FILTER (WHERE bucket = 23))::int AS ms_23, (count(*) FILTER (WHERE bucket = 24))::int AS ms_24, (count(*) FILTER (WHERE bucket = 25))::int AS ms_25, (count(*) FILTER (WHERE bucket = 26))::int AS ms_26, (count(*) FILTER (WHERE bucket = 27))::int AS ms_27, (count(*) FILTER (WHERE bucket = 28))::int AS ms_28, (count(*) FILTER (WHERE bucket = 29))::int AS ms_29, (count(*) FILTER (WHERE bucket = 30))::int AS ms_30, (count(*) FILTER (WHERE bucket = 31))::int AS ms_31, (count(*) FILTER (WHERE bucket = 32))::int AS ms_32, (count(*) FILTER (WHERE bucket = 33))::int AS ms_33, (count(*) FILTER (WHERE bucket = 34))::int AS ms_34, (count(*) FILTER (WHERE bucket = 35))::int AS ms_35, (count(*) FILTER (WHERE bucket = 36))::int AS ms_36, (count(*) FILTER (WHERE bucket = 37))::int AS ms_37, (count(*) FILTER (WHERE bucket = 38))::int AS ms_38, (count(*) FILTER (WHERE bucket = 39))::int AS ms_39, (count(*) FILTER (WHERE bucket = 40))::int AS ms_40, (count(*) FILTER (WHERE bucket = 41))::int AS ms_41, (count(*) FILTER (WHERE bucket = 42))::int AS ms_42, (count(*) FILTER (WHERE bucket = 43))::int AS ms_43, (count(*) FILTER (WHERE bucket = 44))::int AS ms_44, (count(*) FILTER (WHERE bucket = 45))::int AS ms_45, (count(*) FILTER (WHERE bucket = 46))::int AS ms_46, (count(*) FILTER (WHERE bucket = 47))::int AS ms_47, (count(*) FILTER (WHERE bucket = 48))::int AS ms_48, (count(*) FILTER (WHERE bucket = 49))::int AS ms_49, (count(*) FILTER (WHERE bucket = 50))::int AS ms_50, (count(*) FILTER (WHERE bucket = 51))::int AS ms_51, (count(*) FILTER (WHERE bucket = 52))::int AS ms_52, (count(*) FILTER (WHERE bucket = 53))::int AS ms_53, (count(*) FILTER (WHERE bucket = 54))::int AS ms_54
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, COALESCE(tier, '') AS tier, COALESCE(policy, '') AS policy, CASE WHEN cache IS NOT NULL THEN 'cache' WHEN attempted <> '' THEN '>' || replace(attempted, ',', '>') ELSE '' END AS path, COALESCE(baseline_tier, '') AS baseline_tier,
      outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_nano_usd AS net, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_to_answer_tier_nano_usd AS net_of_tier,
      CASE WHEN outcome IN ('completed', 'degraded') THEN width_bucket(latency_ms, ARRAY[1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 35, 46, 60, 78, 101, 131, 170, 221, 287, 373, 485, 631, 820, 1066, 1386, 1802, 2343, 3046, 3960, 5148, 6692, 8700, 11310, 14703, 19114, 24848, 32302, 41993, 54591, 70968, 92258, 119935, 155916, 202691, 263498, 342547, 445311, 578904, 752575, 978348, 1271852, 1653408, 2149430]) END AS bucket
    FROM (SELECT shown.tenant_id, at, tier, policy, cache, attempted, baseline_tier, outcome, error_code, baseline_cost_nano_usd, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, latency_ms FROM ledger_requests AS row_of CROSS JOIN LATERAL (VALUES (row_of.tenant_id), ('')) AS shown(tenant_id)) AS booked) AS one
  GROUP BY 1, 2, 3, 4, 5, 6
  ORDER BY tenant_id, hour, tier, policy, path, baseline_tier
  ON CONFLICT (tenant_id, hour, tier, policy, path, baseline_tier) DO UPDATE SET completed = kept.completed + EXCLUDED.completed, degraded = kept.degraded + EXCLUDED.degraded, failed = kept.failed + EXCLUDED.failed, rejected = kept.rejected + EXCLUDED.rejected, late = kept.late + EXCLUDED.late, unknown_baselines = kept.unknown_baselines + EXCLUDED.unknown_baselines, partly_known = kept.partly_known + EXCLUDED.partly_known, baseline_nano_usd = kept.baseline_nano_usd + EXCLUDED.baseline_nano_usd, paid_nano_usd = kept.paid_nano_usd + EXCLUDED.paid_nano_usd, paid_to_answer_tier_nano_usd = kept.paid_to_answer_tier_nano_usd + EXCLUDED.paid_to_answer_tier_nano_usd, net_square = kept.net_square + EXCLUDED.net_square, net_of_tier_square = kept.net_of_tier_square + EXCLUDED.net_of_tier_square, slowest_ms = GREATEST(kept.slowest_ms, EXCLUDED.slowest_ms), ms_0 = kept.ms_0 + EXCLUDED.ms_0, ms_1 = kept.ms_1 + EXCLUDED.ms_1, ms_2 = kept.ms_2 + EXCLUDED.ms_2, ms_3 = kept.ms_3 + EXCLUDED.ms_3, ms_4 = kept.ms_4 + EXCLUDED.ms_4, ms_5 = kept.ms_5 + EXCLUDED.ms_5, ms_6 = kept.ms_6 + EXCLUDED.ms_6, ms_7 = kept.ms_7 + EXCLUDED.ms_7, ms_8 = kept.ms_8 + EXCLUDED.ms_8, ms_9 = kept.ms_9 + EXCLUDED.ms_9, ms_10 = kept.ms_10 + EXCLUDED.ms_10, ms_11 = kept.ms_11 + EXCLUDED.ms_11, ms_12 = kept.ms_12 + EXCLUDED.ms_12, ms_13 = kept.ms_13 + EXCLUDED.ms_13, ms_14 = kept.ms_14 + EXCLUDED.ms_14, ms_15 = kept.ms_15 + EXCLUDED.ms_15, ms_16 = kept.ms_16 + EXCLUDED.ms_16, ms_17 = kept.ms_17 + EXCLUDED.ms_17, ms_18 = kept.ms_18 + EXCLUDED.ms_18, ms_19 = kept.ms_19 + EXCLUDED.ms_19, ms_20 = kept.ms_20 + EXCLUDED.ms_20, ms_21 = kept.ms_21 + EXCLUDED.ms_21, ms_22 = kept.ms_22 + EXCLUDED.ms_22, ms_23 = kept.ms_23 + EXCLUDED.ms_23, ms_24 = kept.ms_24 + EXCLUDED.ms_24, ms_25 = kept.ms_25 + EXCLUDED.ms_25, ms_26 = kept.ms_26 + EXCLUDED.ms_26, ms_27 = kept.ms_27 + EXCLUDED.ms_27, ms_28 = kept.ms_28 + EXCLUDED.ms_28, ms_29 = kept.ms_29 + EXCLUDED.ms_29, ms_30 = kept.ms_30 + EXCLUDED.ms_30, ms_31 = kept.ms_31 + EXCLUDED.ms_31, ms_32 = kept.ms_32 + EXCLUDED.ms_32, ms_33 = kept.ms_33 + EXCLUDED.ms_33, ms_34 = kept.ms_34 + EXCLUDED.ms_34, ms_35 = kept.ms_35 + EXCLUDED.ms_35, ms_36 = kept.ms_36 + EXCLUDED.ms_36, ms_37 = kept.ms_37 + EXCLUDED.ms_37, ms_38 = kept.ms_38 + EXCLUDED.ms_38, ms_39 = kept.ms_39 + EXCLUDED.ms_39, ms_40 = kept.ms_40 + EXCLUDED.ms_40, ms_41 = kept.ms_41 + EXCLUDED.ms_41, ms_42 = kept.ms_42 + EXCLUDED.ms_42, ms_43 = kept.ms_43 + EXCLUDED.ms_43, ms_44 = kept.ms_44 + EXCLUDED.ms_44, ms_45 = kept.ms_45 + EXCLUDED.ms_45, ms_46 = kept.ms_46 + EXCLUDED.ms_46, ms_47 = kept.ms_47 + EXCLUDED.ms_47, ms_48 = kept.ms_48 + EXCLUDED.ms_48, ms_49 = kept.ms_49 + EXCLUDED.ms_49, ms_50 = kept.ms_50 + EXCLUDED.ms_50, ms_51 = kept.ms_51 + EXCLUDED.ms_51, ms_52 = kept.ms_52 + EXCLUDED.ms_52, ms_53 = kept.ms_53 + EXCLUDED.ms_53, ms_54 = kept.ms_54 + EXCLUDED.ms_54;
--> statement-breakpoint
INSERT INTO line_hours AS kept (tenant_id, hour, tier, attempt, verification, exploration, shadow, cache_audit, waste, calls, apart, apart_nano_usd, apart_square)
  SELECT tenant_id, hour, tier, sum(attempt) AS attempt, sum(verification) AS verification, sum(exploration) AS exploration, sum(shadow) AS shadow, sum(cache_audit) AS cache_audit, sum(waste) AS waste, sum(calls)::int AS calls,
    (count(*) FILTER (WHERE apart > 0))::int AS apart, COALESCE(sum(apart_nano_usd), 0) AS apart_nano_usd, COALESCE(sum(apart_nano_usd * apart_nano_usd), 0) AS apart_square
  FROM (SELECT tenant_id, at, date_trunc('hour', at, 'UTC') AS hour, tier, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'attempt'), 0) AS attempt, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'verification'), 0) AS verification, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'exploration'), 0) AS exploration, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'shadow'), 0) AS shadow, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'cache_audit'), 0) AS cache_audit, COALESCE(sum(cost_nano_usd) FILTER (WHERE kind = 'waste'), 0) AS waste,
      count(*) FILTER (WHERE kind IN ('attempt', 'exploration')) AS calls, count(*) FILTER (WHERE stream = 'COMPLETIONS' AND NOT is_to_answer_tier) AS apart, sum(cost_nano_usd) FILTER (WHERE stream = 'COMPLETIONS' AND NOT is_to_answer_tier) AS apart_nano_usd
    FROM (SELECT shown.tenant_id, row_of.tenant_id || ' ' || request_id AS request_id, at, tier, kind, stream, is_to_answer_tier, cost_nano_usd FROM ledger AS row_of CROSS JOIN LATERAL (VALUES (row_of.tenant_id), ('')) AS shown(tenant_id)) AS booked GROUP BY tenant_id, request_id, at, tier) AS one
  GROUP BY 1, 2, 3
  ORDER BY tenant_id, hour, tier
  ON CONFLICT (tenant_id, hour, tier) DO UPDATE SET attempt = kept.attempt + EXCLUDED.attempt, verification = kept.verification + EXCLUDED.verification, exploration = kept.exploration + EXCLUDED.exploration, shadow = kept.shadow + EXCLUDED.shadow, cache_audit = kept.cache_audit + EXCLUDED.cache_audit, waste = kept.waste + EXCLUDED.waste, calls = kept.calls + EXCLUDED.calls, apart = kept.apart + EXCLUDED.apart, apart_nano_usd = kept.apart_nano_usd + EXCLUDED.apart_nano_usd, apart_square = kept.apart_square + EXCLUDED.apart_square;
--> statement-breakpoint
INSERT INTO beside_requests (tenant_id, request_id, at, tier, attempted, net, net_of_tier)
  SELECT asked.* FROM (SELECT DISTINCT tenant_id, request_id FROM ledger AS row_of WHERE stream <> 'COMPLETIONS') AS beside CROSS JOIN LATERAL (
    SELECT tenant_id, request_id, at, tier, attempted, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_nano_usd AS net, CASE WHEN outcome IN ('completed', 'degraded') THEN COALESCE(baseline_cost_nano_usd, 0) ELSE 0 END - paid_to_answer_tier_nano_usd AS net_of_tier FROM ledger_requests q WHERE q.request_id = beside.request_id AND q.tenant_id = beside.tenant_id OFFSET 0) AS asked
  ORDER BY asked.request_id, asked.tenant_id, asked.at ON CONFLICT DO NOTHING;
--> statement-breakpoint
-- They are rewritten many times within their hour, and no column of a key changes.
ALTER TABLE "request_hours" SET (fillfactor = 50);
--> statement-breakpoint
ALTER TABLE "line_hours" SET (fillfactor = 50);
--> statement-breakpoint
CREATE INDEX "ledger_beside" ON "ledger" (at, tenant_id) WHERE stream <> 'COMPLETIONS';
--> statement-breakpoint
CREATE INDEX "shadows_labels" ON "shadows" (at) INCLUDE (tenant_id, kept_tier, policy, agreement) WHERE agreement IS NOT NULL;
