CREATE TABLE "admin_audit" (
	"seq" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "admin_audit_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"actor" text NOT NULL,
	"tenant_id" text,
	"action" text NOT NULL,
	"object" text NOT NULL,
	"change" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"key_id" text PRIMARY KEY NOT NULL,
	"tenant_id" text,
	"role" text NOT NULL,
	"name" text NOT NULL,
	"secret_hmac" text NOT NULL,
	"last_four" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "tenants" (
	"tenant_id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"status" text NOT NULL,
	"settings" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "requests" ADD COLUMN "input_sha256" text;--> statement-breakpoint
ALTER TABLE "requests" ADD COLUMN "input" jsonb;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_tenant_id_tenants_tenant_id_fk" FOREIGN KEY ("tenant_id") REFERENCES "public"."tenants"("tenant_id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "admin_audit_by_tenant" ON "admin_audit" USING btree ("tenant_id","seq");--> statement-breakpoint
CREATE INDEX "api_keys_by_tenant" ON "api_keys" USING btree ("tenant_id","name");
--> statement-breakpoint
-- What a tenant's own callers read and write is done as this role, which sees the rows of `app.tenant` alone. It cannot log in;
-- services take it within a transaction. Roles belong to the whole server, so it may be there already, or be made meanwhile.
DO $$ BEGIN
	CREATE ROLE infer_tenant NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
--> statement-breakpoint
DO $$ BEGIN
	IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
		EXECUTE format('GRANT infer_tenant TO %I', current_user);
	END IF;
END $$;
--> statement-breakpoint
DO $$
DECLARE
	of_tenant text;
BEGIN
	FOREACH of_tenant IN ARRAY ARRAY['requests', 'attempts', 'feedback', 'shadows', 'shadow_tiers', 'tenants', 'api_keys', 'admin_audit'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of_tenant);
		EXECUTE format('CREATE POLICY own_rows ON %I TO infer_tenant USING (tenant_id = current_setting(''app.tenant'', true)) WITH CHECK (tenant_id = current_setting(''app.tenant'', true))', of_tenant);
	END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT ON "requests", "attempts", "feedback", "shadows", "shadow_tiers", "tenants", "admin_audit" TO infer_tenant;
--> statement-breakpoint
-- Never what a secret is compared with.
GRANT SELECT ("key_id", "tenant_id", "role", "name", "last_four", "created_at", "expires_at", "revoked_at"), INSERT, UPDATE ("revoked_at") ON "api_keys" TO infer_tenant;
--> statement-breakpoint
GRANT INSERT ON "admin_audit" TO infer_tenant;
--> statement-breakpoint
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "admin_audit" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
