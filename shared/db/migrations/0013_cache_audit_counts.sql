CREATE TABLE "cache_audit_counts" (
	"tenant_id" text NOT NULL,
	"guard_version" integer NOT NULL,
	"same" bigint DEFAULT 0 NOT NULL,
	"unclear" bigint DEFAULT 0 NOT NULL,
	"different" bigint DEFAULT 0 NOT NULL,
	"unknown" bigint DEFAULT 0 NOT NULL,
	"disproved_rate" double precision,
	CONSTRAINT "cache_audit_counts_tenant_id_guard_version_pk" PRIMARY KEY("tenant_id","guard_version")
);

--> statement-breakpoint
ALTER TABLE "cache_audit_counts" ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY own_rows ON "cache_audit_counts" TO infer_tenant USING (tenant_id = current_setting('app.tenant', true)) WITH CHECK (tenant_id = current_setting('app.tenant', true));
--> statement-breakpoint
GRANT SELECT ON "cache_audit_counts" TO infer_tenant;
--> statement-breakpoint
INSERT INTO "cache_audit_counts" ("tenant_id", "guard_version", "same", "unclear", "different", "unknown")
SELECT tenant_id, guard_version, count(*) FILTER (WHERE verdict = 'same'), count(*) FILTER (WHERE verdict = 'unclear'), count(*) FILTER (WHERE verdict = 'different'), count(*) FILTER (WHERE verdict = 'unknown')
FROM "cache_audits" GROUP BY tenant_id, guard_version;
--> statement-breakpoint
-- In the order of the key, so that two who write wait for each other and do not lock each other out.
CREATE FUNCTION count_cache_audits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO cache_audit_counts AS counts ("tenant_id", "guard_version", "same", "unclear", "different", "unknown")
	SELECT tenant_id, guard_version, count(*) FILTER (WHERE verdict = 'same'), count(*) FILTER (WHERE verdict = 'unclear'), count(*) FILTER (WHERE verdict = 'different'), count(*) FILTER (WHERE verdict = 'unknown')
	FROM written GROUP BY tenant_id, guard_version ORDER BY tenant_id, guard_version
	ON CONFLICT ("tenant_id", "guard_version") DO UPDATE SET "same" = counts."same" + excluded."same", "unclear" = counts."unclear" + excluded."unclear",
		"different" = counts."different" + excluded."different", "unknown" = counts."unknown" + excluded."unknown";
	RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER count_audits AFTER INSERT ON "cache_audits" REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION count_cache_audits();
