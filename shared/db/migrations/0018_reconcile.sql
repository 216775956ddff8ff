CREATE TABLE "reconcile_differences" (
	"key" text PRIMARY KEY NOT NULL,
	"part" text NOT NULL,
	"kind" text NOT NULL,
	"tenant_id" text,
	"request_id" text,
	"difference" jsonb NOT NULL,
	"found_at" timestamp with time zone DEFAULT now() NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "reconcile_marks" (
	"part" text PRIMARY KEY NOT NULL,
	"stream_created" text NOT NULL,
	"seq" bigint NOT NULL,
	"behind" bigint NOT NULL,
	"checked" bigint NOT NULL,
	"finished_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "reconcile_differences_by_part" ON "reconcile_differences" USING btree ("part","seen_at");--> statement-breakpoint
CREATE INDEX "requests_by_sequence" ON "requests" USING btree ("stream_seq");