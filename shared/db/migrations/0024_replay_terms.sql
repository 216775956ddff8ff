ALTER TABLE "requests" ADD COLUMN "terms" jsonb;--> statement-breakpoint
ALTER TABLE "requests" ADD COLUMN "latency_slo_ms" integer;