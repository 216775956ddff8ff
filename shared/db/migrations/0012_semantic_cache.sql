CREATE TABLE "cache_audits" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"source_request_id" text NOT NULL,
	"guard_version" integer NOT NULL,
	"tier" text NOT NULL,
	"model" text NOT NULL,
	"verdict" text NOT NULL,
	"agreement" double precision,
	"error_code" text,
	"cost_nano_usd" bigint NOT NULL,
	"cost_is_partial" boolean NOT NULL,
	"latency_ms" double precision NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"stream_seq" bigint NOT NULL,
	CONSTRAINT "cache_audits_request_id_tenant_id_pk" PRIMARY KEY("request_id","tenant_id")
);
--> statement-breakpoint
CREATE TABLE "cache_evaluations" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "cache_evaluations_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"tenant_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"guard_version" integer NOT NULL,
	"set_sha256" text NOT NULL,
	"same_pairs" integer NOT NULL,
	"hits" integer NOT NULL,
	"other_pairs" integer NOT NULL,
	"false_hits" integer NOT NULL,
	"false_hit_lower" double precision NOT NULL,
	"false_hit_upper" double precision NOT NULL
);
--> statement-breakpoint
ALTER TABLE "cache_evaluations" ADD CONSTRAINT "cache_evaluations_tenant_id_tenants_tenant_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "public"."tenants"("tenant_id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "cache_audits_by_tenant" ON "cache_audits" USING btree ("tenant_id","guard_version");--> statement-breakpoint
CREATE INDEX "cache_audits_by_age" ON "cache_audits" USING btree ("at");--> statement-breakpoint
CREATE INDEX "cache_evaluations_by_tenant" ON "cache_evaluations" USING btree ("tenant_id","seq");
--> statement-breakpoint
DO $$
DECLARE
	of_tenant text;
BEGIN
	FOREACH of_tenant IN ARRAY ARRAY['cache_evaluations', 'cache_audits'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of_tenant);
		EXECUTE format('CREATE POLICY own_rows ON %I TO infer_tenant USING (tenant_id = current_setting(''app.tenant'', true)) WITH CHECK (tenant_id = current_setting(''app.tenant'', true))', of_tenant);
	END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT ON "cache_evaluations", "cache_audits" TO infer_tenant;
--> statement-breakpoint
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "cache_evaluations" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
