ALTER TABLE "ledger" ADD COLUMN "is_for_answer" boolean NOT NULL DEFAULT false;--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "paid_nano_usd" bigint NOT NULL DEFAULT 0;--> statement-breakpoint
ALTER TABLE "ledger_requests" ADD COLUMN "paid_for_answer_nano_usd" bigint NOT NULL DEFAULT 0;--> statement-breakpoint
-- What is booked already, as the sink books it now (shared/ledger/linesOf.ts).
UPDATE "ledger" l SET "is_for_answer" = true FROM "ledger_requests" q
WHERE l.stream = 'COMPLETIONS' AND q.request_id = l.request_id AND q.tenant_id = l.tenant_id AND q.at = l.at AND q.tier = l.tier AND q.model = l.model;--> statement-breakpoint
UPDATE "ledger_requests" q SET "paid_nano_usd" = l.paid, "paid_for_answer_nano_usd" = l.for_answer
FROM (SELECT request_id, tenant_id, at, sum(cost_nano_usd) AS paid, COALESCE(sum(cost_nano_usd) FILTER (WHERE is_for_answer), 0) AS for_answer FROM "ledger" WHERE stream = 'COMPLETIONS' GROUP BY 1, 2, 3) AS l
WHERE q.request_id = l.request_id AND q.tenant_id = l.tenant_id AND q.at = l.at;--> statement-breakpoint
ALTER TABLE "ledger" ALTER COLUMN "is_for_answer" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "ledger_requests" ALTER COLUMN "paid_nano_usd" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "ledger_requests" ALTER COLUMN "paid_for_answer_nano_usd" DROP DEFAULT;
