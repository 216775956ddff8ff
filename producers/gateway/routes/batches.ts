/** Batches: many requests as JSON lines, in one upload or in parts, and their results as JSON lines. */
import { Readable } from "node:stream";

import type { FastifyRequest } from "fastify";
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";
import type { Pool } from "pg";
import { z } from "zod";

import { type BatchDefaults, BatchDefaults as BatchDefaultsSchema, BatchId, type BatchLine, BatchReply, BatchResult, MOST_LINES, NewBatch, readLine } from "#shared/contracts/batch.ts";
import { badRequest } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { TenantId } from "#shared/contracts/ids.ts";
import { ErrorReply } from "#shared/contracts/reply.ts";
import { unknownName } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

import { addLines, beginUpload, cancelBatch, endUpload, listBatches, openBatch, readBatch, readResults, startBatch, type TenantRights } from "../batches/batchStore.ts";
import { jsonLines } from "../batches/jsonLines.ts";
import type { Callers } from "#shared/http/callers.ts";
import { DEFAULT_TENANT } from "../openAi/requestOf.ts";

interface Upload {
  readonly batchId: string;
  /** `null`: of a part of its lines. */
  readonly uploadId: string | null;
  readonly firstLine: number;
  readonly defaults: BatchDefaults;
  readonly body: AsyncIterable<Uint8Array>;
}
export interface BatchesDeps {
  readonly pool: Pool;
  readonly callers: Callers;
  readonly tierFile: Pick<TierFile, "tiers" | "embedders">;
  readonly log: Logger;
}

const JSON_LINES = ["application/x-ndjson", "application/jsonl"];
/** Of one upload; of a whole batch there may be more, in parts. */
const MOST_BYTES = 256 * 1024 ** 2;
/** Of a transaction, and so of what is held of an upload. */
const AT_ONCE = { lines: 500, bytes: 4 * 1024 ** 2 };
/** An answer may be long. */
const RESULTS_AT_ONCE = 50;

const errors = { "4xx": ErrorReply, "5xx": ErrorReply };
const ofBatch = z.object({ batch_id: BatchId });
const tenant = { tenant_id: TenantId.optional().describe("Without an API key: whose batch it is.") };
const named = z.strictObject(tenant);
/** What an upload of lines alone says of them. */
const uploaded = z.strictObject({
  ...tenant, batch_id: BatchId.optional(), name: NewBatch.shape.name, user_id: BatchDefaultsSchema.shape.user_id, policy: BatchDefaultsSchema.shape.policy,
  budget: z.coerce.number().nonnegative().max(1_000_000).optional().describe("Of each line that names none, in USD."),
});

export const batchesRoutes = ({ pool, callers, tierFile, log }: BatchesDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const tags = ["batches"];
  const infer = { role: "infer" as const };
  const read = { role: "read" as const };
  app.addContentTypeParser(JSON_LINES, ({ headers }, payload, parsed) => {
    if (headers["content-encoding"] === undefined) parsed(null, payload);
    else parsed(new AppError("unsupported_media_type", "send uncompressed JSON lines in UTF-8"));
  });

  app.post("/batches", {
    schema: {
      summary: "Run many requests that nobody waits for",
      description:
        `The body is JSON lines (\`application/x-ndjson\` or \`application/jsonl\`, at most ${MOST_LINES} lines): each a body of \`POST /infer\`, with \`custom_id\` instead of an id. The batch starts once all lines are there; ` +
        "a line that is wrong refuses the whole upload and is named. `batch_id` makes it safe to repeat: the same lines again are the same batch, and nothing runs twice; other lines under it are a 422. " +
        "Each line that names none has a deadline as far off as the service allows (INFER_MAX_DEADLINE_MS), from when it is begun. " +
        "As `application/json` the body (`batch_id`, `name`, `defaults`) makes a batch without lines, which are then sent in parts.",
      tags, querystring: uploaded, response: { 200: BatchReply, 201: BatchReply, ...errors },
    },
    config: { ...infer, isUpload: true },
  }, async (request, reply) => {
    const { rights, keyId } = await rightsOf(request, request.query.tenant_id);
    const { batch_id = request.id, name = null, user_id, policy, budget } = request.query;
    const defaults: BatchDefaults = { user_id, policy, budget };
    if (!isLines(request)) {
      const { data: body, error } = NewBatch.safeParse(request.body);
      if (body === undefined) throw badRequest(error);
      const { reply: opened, isNew } = await openBatch(rights, { batch_id: body.batch_id ?? batch_id, name: body.name ?? name, defaults: { ...defaults, ...body.defaults }, key_id: keyId });
      return reply.code(isNew ? 201 : 200).send(opened);
    }
    await openBatch(rights, { batch_id, name, defaults, key_id: keyId });
    const upload: Upload = { batchId: batch_id, uploadId: request.id, firstLine: 1, defaults, body: request.body as AsyncIterable<Uint8Array> };
    const { reply: { status, lines } } = await beginUpload(rights, batch_id, request.id);
    if (status !== "open") { // the same, or refused
      const { reply: same, sent } = await take(rights, { ...upload, uploadId: null });
      if (sent !== lines) throw new AppError("idempotency_mismatch", `batch ${batch_id} has ${lines} lines, and these are ${sent}: take a new batch_id`);
      return reply.code(200).send(same);
    }
    const started = await take(rights, upload).then(() => startBatch(rights, batch_id, request.id)).catch(async (error: unknown) => {
      await endUpload(rights, batch_id, request.id).catch(() => undefined); // else its lease runs out
      throw error;
    });
    log.info({ tenant_id: rights.tenantId, batch_id, lines: started.reply.lines }, "batch started");
    return reply.code(201).send(started.reply);
  });

  app.post("/batches/:batch_id/lines", {
    schema: {
      summary: "Add lines to a batch, in parts",
      description: "JSON lines. `first_line` is the number of the first of them in the batch, from 1 on: a part that is sent again changes nothing, other lines under used numbers are a 422, and a gap is a 409 that says where to go on.",
      tags, params: ofBatch, querystring: named.extend({ first_line: z.coerce.number().int().min(1).max(MOST_LINES) }), response: { 200: BatchReply, ...errors },
    },
    config: { ...infer, isUpload: true },
  }, async (request) => {
    if (!isLines(request)) throw new AppError("unsupported_media_type", `send JSON lines: ${JSON_LINES.join(" or ")}`);
    const { rights } = await rightsOf(request, request.query.tenant_id);
    const { defaults } = await readBatch(rights, request.params.batch_id);
    return (await take(rights, { batchId: request.params.batch_id, uploadId: null, firstLine: request.query.first_line, defaults, body: request.body as AsyncIterable<Uint8Array> })).reply;
  });

  app.post("/batches/:batch_id/start", { schema: { summary: "Run a batch whose lines are all there", description: "Safe to repeat.", tags, params: ofBatch, querystring: named, response: { 200: BatchReply, ...errors } }, config: infer }, async (request) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    const { reply } = await startBatch(rights, request.params.batch_id, null);
    log.info({ tenant_id: rights.tenantId, batch_id: reply.batch_id, lines: reply.lines }, "batch started");
    return reply;
  });

  app.post("/batches/:batch_id/cancel", { schema: { summary: "Begin no more of its lines", description: "What runs ends. Safe to repeat; a batch that has ended stays as it is.", tags, params: ofBatch, querystring: named, response: { 200: BatchReply, ...errors } }, config: infer }, async (request) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    return (await cancelBatch(rights, request.params.batch_id)).reply;
  });

  app.get("/batches", { schema: { summary: "The latest batches", tags, querystring: named.extend({ limit: z.coerce.number().int().min(1).max(1_000).default(100) }), response: { 200: z.object({ batches: z.array(BatchReply) }), ...errors } }, config: read }, async (request) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    return { batches: await listBatches(rights, request.query.limit) };
  });

  app.get("/batches/:batch_id", { schema: { summary: "How far a batch is, what it cost and what it saved", tags, params: ofBatch, querystring: named, response: { 200: BatchReply, ...errors } }, config: read }, async (request) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    return (await readBatch(rights, request.params.batch_id)).reply;
  });

  app.get("/batches/:batch_id/results", {
    schema: {
      summary: "Results of the lines that have ended, as JSON lines in their order",
      description: "At any time. `after_line` goes on where an earlier read ended.",
      tags, params: ofBatch, querystring: named.extend({ after_line: z.coerce.number().int().min(0).default(0) }),
      response: { 200: { description: "One of these per line.", content: { "application/x-ndjson": { schema: BatchResult } } }, ...errors },
    },
    config: read,
  }, async (request, reply) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    await readBatch(rights, request.params.batch_id);
    return reply.type("application/x-ndjson; charset=utf-8").send(Readable.from(resultsFrom(rights, request.params.batch_id, request.query.after_line)) as never); // a stream has no schema
  });
  done();

  async function rightsOf(request: FastifyRequest, tenantId: string | undefined): Promise<{ rights: TenantRights; keyId: string | null }> {
    const caller = await callers.callerOf(request, tenantId, DEFAULT_TENANT);
    return { rights: { pool, tenantId: caller.tenant_id }, keyId: caller.principal.key_id };
  }

  /** Reads, checks and stores lines as they come: never more than a transaction's in memory. */
  async function take(rights: TenantRights, { batchId, uploadId, firstLine, defaults, body }: Upload): Promise<{ reply: BatchReply; sent: number }> {
    let waiting: BatchLine[] = [], waitingBytes = 0, next = firstLine;
    const store = async () => {
      const { reply } = await addLines(rights, batchId, next, waiting, uploadId);
      next += waiting.length;
      [waiting, waitingBytes] = [[], 0];
      return { reply, sent: next - firstLine };
    };
    for await (const { line, bytes, value } of jsonLines(body, { mostLines: MOST_LINES, mostBytes: MOST_BYTES })) {
      const read = readLine(value, defaults);
      const problem = "problem" in read ? read.problem : unknownName(read.request, tierFile);
      if ("problem" in read || problem !== null) throw new AppError("invalid_request", `line ${firstLine + line - 1}: ${problem ?? ""}`);
      waiting.push(read);
      waitingBytes += bytes;
      if (waiting.length >= AT_ONCE.lines || waitingBytes >= AT_ONCE.bytes) await store();
    }
    return store();
  }
};

const isLines = ({ headers }: Pick<FastifyRequest, "headers">): boolean => JSON_LINES.some((type) => headers["content-type"]?.toLowerCase().startsWith(type) === true);

async function* resultsFrom(rights: TenantRights, batchId: string, afterLine: number): AsyncGenerator<string> {
  for (let after = afterLine; ; ) {
    const results = await readResults(rights, batchId, after, RESULTS_AT_ONCE);
    const last = results.at(-1);
    if (last === undefined) return;
    yield results.map((result) => `${JSON.stringify(result)}\n`).join("");
    after = last.line;
  }
}
