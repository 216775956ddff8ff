CREATE TABLE "shadow_tiers" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"tier" text NOT NULL,
	"model" text NOT NULL,
	"error_code" text,
	"is_sound" boolean NOT NULL,
	"confidence" double precision,
	"confidence_source" text,
	"agreement_with_baseline" double precision,
	"agreement_with_kept" double precision,
	"cost_nano_usd" bigint NOT NULL,
	"cost_is_partial" boolean NOT NULL,
	"latency_ms" double precision NOT NULL,
	"usage" jsonb,
	"at" timestamp with time zone NOT NULL,
	"stream_seq" bigint NOT NULL,
	CONSTRAINT "shadow_tiers_request_id_tenant_id_tier_pk" PRIMARY KEY("request_id","tenant_id","tier")
);
--> statement-breakpoint
CREATE INDEX "shadow_tiers_by_age" ON "shadow_tiers" USING btree ("at");