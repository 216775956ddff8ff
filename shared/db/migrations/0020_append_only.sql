-- Books and audit are written once. Old rows are deleted by the role infer_retention alone, which the audit sink takes for that. A migration that fills in a
-- column disables the trigger first: ALTER TABLE ... DISABLE TRIGGER append_only.
CREATE FUNCTION refuse_change_but_retention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_user = 'infer_retention' THEN RETURN NULL; END IF;
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
DO $$
DECLARE
	written_once text;
BEGIN
	FOREACH written_once IN ARRAY ARRAY['requests', 'attempts', 'shadows', 'shadow_tiers', 'cache_audits', 'ledger', 'ledger_requests'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_but_retention()', written_once);
	END LOOP;
END $$;
