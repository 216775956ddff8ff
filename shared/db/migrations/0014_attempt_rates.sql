ALTER TABLE "attempts" ADD COLUMN "rates" jsonb;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "charges" jsonb;