ALTER TABLE "ledger" ADD COLUMN "is_to_answer_tier" boolean NOT NULL DEFAULT false, ADD COLUMN "is_to_answer_model" boolean NOT NULL DEFAULT false;--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "paid_nano_usd" bigint NOT NULL DEFAULT 0, ADD COLUMN "paid_to_answer_tier_nano_usd" bigint NOT NULL DEFAULT 0, ADD COLUMN "paid_to_answer_model_nano_usd" bigint NOT NULL DEFAULT 0;--> statement-breakpoint
-- What is booked already, as the sink books it now (shared/ledger/linesOf.ts).
UPDATE "ledger" l SET "is_to_answer_tier" = COALESCE(q.tier = l.tier, false), "is_to_answer_model" = COALESCE(q.model = l.model, false) FROM "ledger_requests" q
WHERE l.stream = 'COMPLETIONS' AND q.request_id = l.request_id AND q.tenant_id = l.tenant_id AND q.at = l.at AND (q.tier = l.tier OR q.model = l.model);--> statement-breakpoint
UPDATE "ledger_requests" q SET "paid_nano_usd" = l.paid, "paid_to_answer_tier_nano_usd" = l.to_tier, "paid_to_answer_model_nano_usd" = l.to_model
FROM (
	SELECT request_id, tenant_id, at, sum(cost_nano_usd) AS paid, COALESCE(sum(cost_nano_usd) FILTER (WHERE is_to_answer_tier), 0) AS to_tier, COALESCE(sum(cost_nano_usd) FILTER (WHERE is_to_answer_model), 0) AS to_model
	FROM "ledger" WHERE stream = 'COMPLETIONS' GROUP BY 1, 2, 3
) AS l
WHERE q.request_id = l.request_id AND q.tenant_id = l.tenant_id AND q.at = l.at;--> statement-breakpoint
ALTER TABLE "ledger" ALTER COLUMN "is_to_answer_tier" DROP DEFAULT, ALTER COLUMN "is_to_answer_model" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "ledger_requests" ALTER COLUMN "paid_nano_usd" DROP DEFAULT, ALTER COLUMN "paid_to_answer_tier_nano_usd" DROP DEFAULT, ALTER COLUMN "paid_to_answer_model_nano_usd" DROP DEFAULT;
