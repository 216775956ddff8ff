ALTER TABLE "attempts" ADD COLUMN "cached_input_tokens" integer;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "reasoning_output_tokens" integer;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "checks" jsonb;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "first_token_ms" double precision;--> statement-breakpoint
ALTER TABLE "requests" ADD COLUMN "message" jsonb;