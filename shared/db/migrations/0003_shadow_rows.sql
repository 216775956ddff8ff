ALTER TABLE "shadows" ADD COLUMN "task" text;--> statement-breakpoint
ALTER TABLE "shadows" ADD COLUMN "query" jsonb;--> statement-breakpoint
ALTER TABLE "shadows" ADD COLUMN "tiers" jsonb DEFAULT '[]'::jsonb NOT NULL;