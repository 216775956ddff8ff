CREATE TABLE "feedback" (
	"tenant_id" text NOT NULL,
	"request_id" text NOT NULL,
	"source" text NOT NULL,
	"score" double precision NOT NULL,
	"comment" text,
	"stream_seq" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "feedback_request_id_tenant_id_source_pk" PRIMARY KEY("request_id","tenant_id","source")
);
--> statement-breakpoint
CREATE INDEX "feedback_by_age" ON "feedback" USING btree ("at");