CREATE TABLE "erasures" (
	"tenant_id" text NOT NULL,
	"subject" text NOT NULL,
	"salt" text NOT NULL,
	"asked_at" timestamp with time zone NOT NULL,
	"covers_until" timestamp with time zone NOT NULL,
	"rows_done_at" timestamp with time zone,
	"keys_done_at" timestamp with time zone,
	"streams_clear_at" timestamp with time zone NOT NULL,
	"counts" jsonb NOT NULL,
	CONSTRAINT "erasures_tenant_id_subject_pk" PRIMARY KEY("tenant_id","subject")
);
--> statement-breakpoint
ALTER TABLE "requests" ADD COLUMN "output_sha256" text;

--> statement-breakpoint
-- The role infer_eraser deletes what is of an erased tenant or user. Of the books it may change the user's name alone, and of the admin audit what was changed: by its
-- grants, and to nothing else than these by the triggers below.
CREATE OR REPLACE FUNCTION refuse_change_but_retention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_user IN ('infer_retention', 'infer_eraser') THEN RETURN NULL; END IF;
	IF TG_OP = 'UPDATE' AND current_user = 'infer_eraser' THEN RETURN NULL; END IF;
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'admin_audit' AND current_user = 'infer_eraser' THEN RETURN NULL; END IF;
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE FUNCTION refuse_other_than_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only, but for what is erased', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE TRIGGER only_erased BEFORE UPDATE OF "user_id" ON "ledger" FOR EACH ROW WHEN (NEW.user_id IS NULL OR NEW.user_id !~ '^erased-[0-9a-f]{32}$') EXECUTE FUNCTION refuse_other_than_erased();
--> statement-breakpoint
CREATE TRIGGER only_erased BEFORE UPDATE OF "user_id" ON "ledger_requests" FOR EACH ROW WHEN (NEW.user_id IS NULL OR NEW.user_id !~ '^erased-[0-9a-f]{32}$') EXECUTE FUNCTION refuse_other_than_erased();
--> statement-breakpoint
CREATE TRIGGER only_erased BEFORE UPDATE OF "change" ON "admin_audit" FOR EACH ROW WHEN (NEW.change <> '{}'::jsonb) EXECUTE FUNCTION refuse_other_than_erased();
