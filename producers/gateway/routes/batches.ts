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

import { addLines, cancelBatch, emptyOpenBatch, listBatches, openBatch, readBatch, readResults, startBatch, type TenantRights } from "../batches/batchStore.ts";
import { jsonLines } from "../batches/jsonLines.ts";
import type { Callers } from "../callers.ts";
import { DEFAULT_TENANT } from "../openAi/requestOf.ts";

export interface BatchesDeps {
  readonly pool: Pool;
  readonly callers: Callers;
  readonly tierFile: Pick<TierFile, "tiers" | "embedders">;
  readonly log: Logger;
}

const JSON_LINES = ["application/x-ndjson", "application/jsonl"];
/** Of one upload; of a whole batch there may be more, in parts. */
const MOST_BYTES = 256 * 1024 ** 2;
/** Lines of a transaction. */
const AT_ONCE = 500;
const RESULTS_AT_ONCE = 500;

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
  app.addContentTypeParser(JSON_LINES, (_request, payload, parsed) => { parsed(null, payload); });

  app.post("/batches", {
    schema: {
      summary: "Run many requests that nobody waits for",
      description:
        `The body is JSON lines (\`application/x-ndjson\` or \`application/jsonl\`, at most ${MOST_LINES} lines): each a body of \`POST /infer\`, with \`custom_id\` instead of an id. The batch starts once all lines are there; ` +
        "a line that is wrong refuses the whole upload and is named. `batch_id` makes it safe to repeat: the same lines again are the same batch, and nothing runs twice; other lines under it are a 422. " +
        "As `application/json` the body (`batch_id`, `name`, `defaults`) makes a batch without lines, which are then sent in parts.",
      tags, querystring: uploaded, response: { 200: BatchReply, 201: BatchReply, ...errors },
    },
    config: infer,
  }, async (request, reply) => {
    const { rights, keyId } = await rightsOf(request, request.query.tenant_id);
    const { batch_id = request.id, name = null, user_id, policy, budget } = request.query;
    if (!isLines(request)) {
      const body = NewBatch.safeParse(request.body);
      if (!body.success) throw badRequest(body.error);
      return reply.code(201).send((await openBatch(rights, { batch_id: body.data.batch_id ?? batch_id, name: body.data.name ?? name, defaults: body.data.defaults, key_id: keyId })).reply);
    }
    const defaults: BatchDefaults = { user_id, policy, budget };
    const opened = await openBatch(rights, { batch_id, name, defaults, key_id: keyId });
    const body = request.body as AsyncIterable<Uint8Array>;
    if (opened.reply.status !== "open") return reply.code(200).send(await take(rights, batch_id, 1, defaults, body)); // the same, or refused
    await emptyOpenBatch(rights, batch_id); // what an upload that broke off has left
    await take(rights, batch_id, 1, defaults, body).catch(async (error: unknown) => {
      await emptyOpenBatch(rights, batch_id).catch(() => undefined);
      throw error;
    });
    const started = await startBatch(rights, batch_id);
    log.info({ tenant_id: rights.tenantId, batch_id, lines: started.reply.lines }, "batch started");
    return reply.code(201).send(started.reply);
  });

  app.post("/batches/:batch_id/lines", {
    schema: {
      summary: "Add lines to a batch, in parts",
      description: "JSON lines. `first_line` is the number of the first of them in the batch, from 1 on: a part that is sent again changes nothing, other lines under used numbers are a 422, and a gap is a 409 that says where to go on.",
      tags, params: ofBatch, querystring: named.extend({ first_line: z.coerce.number().int().min(1).max(MOST_LINES) }), response: { 200: BatchReply, ...errors },
    },
    config: infer,
  }, async (request) => {
    if (!isLines(request)) throw new AppError("unsupported_media_type", `send JSON lines: ${JSON_LINES.join(" or ")}`);
    const { rights } = await rightsOf(request, request.query.tenant_id);
    const { defaults } = await readBatch(rights, request.params.batch_id);
    return take(rights, request.params.batch_id, request.query.first_line, defaults, request.body as AsyncIterable<Uint8Array>);
  });

  app.post("/batches/:batch_id/start", { schema: { summary: "Run a batch whose lines are all there", description: "Safe to repeat.", tags, params: ofBatch, querystring: named, response: { 200: BatchReply, ...errors } }, config: infer }, async (request) => {
    const { rights } = await rightsOf(request, request.query.tenant_id);
    const { reply } = await startBatch(rights, request.params.batch_id);
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
  async function take(rights: TenantRights, batchId: string, firstLine: number, defaults: BatchDefaults, body: AsyncIterable<Uint8Array>): Promise<BatchReply> {
    let waiting: BatchLine[] = [], next = firstLine;
    const store = async (): Promise<BatchReply> => {
      const { reply } = await addLines(rights, batchId, next, waiting);
      next += waiting.length;
      waiting = [];
      return reply;
    };
    for await (const { line, value } of jsonLines(body, { mostLines: MOST_LINES, mostBytes: MOST_BYTES })) {
      const read = readLine(value, defaults);
      const problem = "problem" in read ? read.problem : unknownName(read.request, tierFile);
      if ("problem" in read || problem !== null) throw new AppError("invalid_request", `line ${firstLine + line - 1}: ${problem ?? ""}`);
      waiting.push(read);
      if (waiting.length >= AT_ONCE) await store();
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
