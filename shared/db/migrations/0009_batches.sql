CREATE TABLE "batch_items" (
	"tenant_id" text NOT NULL,
	"batch_id" text NOT NULL,
	"line" integer NOT NULL,
	"custom_id" text,
	"fingerprint" text NOT NULL,
	"request" jsonb,
	"result" jsonb,
	CONSTRAINT "batch_items_tenant_id_batch_id_line_pk" PRIMARY KEY("tenant_id","batch_id","line")
);
--> statement-breakpoint
CREATE TABLE "batches" (
	"tenant_id" text NOT NULL,
	"batch_id" text NOT NULL,
	"name" text,
	"status" text NOT NULL,
	"defaults" jsonb NOT NULL,
	"key_id" text,
	"line_count" integer DEFAULT 0 NOT NULL,
	"completed_count" integer DEFAULT 0 NOT NULL,
	"degraded_count" integer DEFAULT 0 NOT NULL,
	"failed_count" integer DEFAULT 0 NOT NULL,
	"rejected_count" integer DEFAULT 0 NOT NULL,
	"cost_nano_usd" bigint DEFAULT 0 NOT NULL,
	"baseline_cost_nano_usd" bigint DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"leased_by" text,
	"lease_until" timestamp with time zone,
	CONSTRAINT "batches_tenant_id_batch_id_pk" PRIMARY KEY("tenant_id","batch_id")
);
--> statement-breakpoint
CREATE INDEX "batch_items_open" ON "batch_items" USING btree ("tenant_id","batch_id","line") WHERE result IS NULL;--> statement-breakpoint
CREATE INDEX "batches_by_status" ON "batches" USING btree ("status","created_at");
--> statement-breakpoint
DO $$
DECLARE
	of_tenant text;
BEGIN
	FOREACH of_tenant IN ARRAY ARRAY['batches', 'batch_items'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of_tenant);
		EXECUTE format('CREATE POLICY own_rows ON %I TO infer_tenant USING (tenant_id = current_setting(''app.tenant'', true)) WITH CHECK (tenant_id = current_setting(''app.tenant'', true))', of_tenant);
	END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON "batches" TO infer_tenant;
--> statement-breakpoint
GRANT SELECT, INSERT, DELETE ON "batch_items" TO infer_tenant;
