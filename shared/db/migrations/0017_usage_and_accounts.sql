ALTER TABLE "attempts" ADD COLUMN "unpriced_tokens" integer;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "usage_is_clamped" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "reported_usage" jsonb;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "uncapped_cost_nano_usd" bigint;--> statement-breakpoint
CREATE INDEX "ledger_by_user" ON "ledger" USING btree ("tenant_id","user_id","at");--> statement-breakpoint
CREATE INDEX "ledger_by_key" ON "ledger" USING btree ("tenant_id","key_id","at");