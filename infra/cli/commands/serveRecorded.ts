import { readFile } from "node:fs/promises";

import { z } from "zod";

import { SetupError } from "#infra/embedded/setupError.ts";
import type { BillReply } from "#infra/recorded/bill.ts";
import { Faults, unknownModelIn } from "#infra/recorded/faults.ts";
import { type RecordedAnswers, readRecordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type RecordedServer, type RecordedServerOptions, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { describeIssues, issueLines } from "#shared/contracts/describeIssues.ts";
import { aborted } from "#shared/runtime/lifecycle.ts";

import { type Command, EXIT_USAGE } from "../command.ts";
import { textTable } from "../textTable.ts";
import { list, text, type Values } from "./evaluationValues.ts";

export const serveRecorded: Command = {
  summary: "Serves recorded answers of real models as an OpenAI-compatible server: real behaviour, pace and price, without a key.",
  usage: "<outcomes> [<outcomes> ...] [--outputs <file>] [options]",
  details: [
    "<outcomes>             JSON lines, plain or .gz, as for `inferctl evaluate`; of each model also \"answer\"?, \"prompt_tokens\"?, \"completion_tokens\"?.",
    "                       The last message from the user or a tool must be the `query` of a row, the model one of the row's",
    "--outputs              full answers, {\"id\",\"outputs\":{\"<model>\":\"<text>\"}} a line; may be repeated (default: each row's answer). In place of a text",
    "                       calls: {\"content\":<text or null>,\"tool_calls\":[{\"id\"?,\"name\",\"arguments\":\"<JSON>\"}, ...]}, see below",
    "--port                 on 127.0.0.1 (default 0: any that is free)",
    "--time-scale           recorded latencies times this, 0 to 1000; 0 is none (default 1)",
    "--first-token-share    share of the latency after which a stream begins, in [0, 1] (default 0.3)",
    "--default-latency-ms   where none was recorded, before the scale (default 0)",
    "--faults               JSON, a list of {\"kind\",\"share\",\"models\"?}: kind status (\"status\",\"retry_after_s\"?), cut, stall (\"for_ms\"?), garble,",
    "                       slow (\"factor\"), empty or truncate; PUT /faults changes it while running",
    "--seed                 of which calls they hit (default 1)",
    "--json                 one JSON object when ready, and the bill as another at the end",
    "",
    "Calls are answered where the request has tools. Without tools, or with tool_choice none, the answer is its text alone; calls without a text are",
    "then a 400 only_calls_recorded. A tool_choice that the recorded answer does not meet is a 400 no_recorded_call. After the calls' results the last",
    "one's text is the `query` of the row that goes on.",
    "",
    "POST /v1/embeddings gives vectors of the model made-up-embeddings: from each text's hash, at 0.02 USD per million tokens; they mean nothing.",
    "GET /bill says what a provider would have charged so far, GET /bill?calls=true for which calls (the latest 50,000). Ends with Ctrl-C.",
  ],
  example: "inferctl serve-recorded outcomes.jsonl.gz --time-scale 0.1 --port 8399",
  options: {
    outputs: { type: "string", multiple: true }, port: { type: "string" }, "time-scale": { type: "string" }, "first-token-share": { type: "string" },
    "default-latency-ms": { type: "string" }, faults: { type: "string" }, seed: { type: "string" }, json: { type: "boolean" },
  },
  maxPositionals: Infinity,
  run: async ({ values, positionals: files }, { print, progress }) => {
    if (files.length === 0) throw wrongUse("say which outcome logs to serve");
    const options = readOptions(values);
    const answers = await progress.step("recorded answers", () => readAnswers(files, list(values, "outputs") ?? []), ({ rows, models }) => `${rows} rows, ${models.length} models`);
    if (answers.hidden > 0) progress.note(`${answers.hidden} answers cannot be asked for: their query and model stand in a row before`);
    const faults = await readFaults(text(values, "faults"), answers);
    const stop = stopSignal();
    const server = await start({ ...options, answers, faults, onBug: (error) => progress.note(error instanceof Error ? (error.stack ?? error.message) : String(error)) });
    const isJson = values["json"] === true;
    print(isJson ? JSON.stringify({ url: server.url, base_url: baseUrl(server), rows: answers.rows, queries: answers.queries, models: answers.models }) : ready(server, answers));
    await aborted(stop);
    const bill = await server.close();
    print(isJson ? JSON.stringify({ bill }) : describeBill(bill));
    return 0;
  },
};

const wrongUse = (message: string, cause?: unknown) => new SetupError(message, "Correct it; options and formats: inferctl serve-recorded --help", { exitCode: EXIT_USAGE, cause });

const typed = z.string().trim().min(1).transform(Number);
const number = (least: number, most: number, fallback: number) => typed.pipe(z.number().min(least).max(most)).default(fallback);
const whole = (most: number, fallback: number) => typed.pipe(z.int().min(0).max(most)).default(fallback);
const Options = z.object({
  "--port": whole(65_535, 0),
  "--seed": whole(2 ** 32 - 1, 1),
  "--time-scale": number(0, 1_000, 1),
  "--first-token-share": number(0, 1, 0.3),
  "--default-latency-ms": number(0, 600_000, 0),
});

function readOptions(values: Values): Pick<RecordedServerOptions, "port" | "seed" | "timeScale" | "firstTokenShare" | "defaultLatencyMs"> {
  const given = Options.safeParse(Object.fromEntries(Object.entries(values).map(([name, value]) => [`--${name}`, value])));
  if (!given.success) throw wrongUse(issueLines(given.error).join("\n"), given.error);
  const { "--port": port, "--seed": seed, "--time-scale": timeScale, "--first-token-share": firstTokenShare, "--default-latency-ms": defaultLatencyMs } = given.data;
  return { port, seed, timeScale, firstTokenShare, defaultLatencyMs };
}

async function readAnswers(files: readonly string[], outputs: readonly string[]): Promise<RecordedAnswers> {
  try {
    return await readRecordedAnswers(files, outputs);
  } catch (error) {
    throw error instanceof EvaluationError ? wrongUse(error.message, error) : error;
  }
}

async function readFaults(file: string | undefined, answers: RecordedAnswers): Promise<Faults> {
  if (file === undefined) return [];
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw wrongUse(`${file}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const faults = Faults.safeParse(json);
  if (!faults.success) throw wrongUse(`${file}: ${describeIssues(faults.error)}`, faults.error);
  const unknown = unknownModelIn(faults.data, answers.hasModel);
  if (unknown !== undefined) throw wrongUse(`${file}: no row has the model ${unknown}`);
  return faults.data;
}

/** The first SIGINT or SIGTERM; a second one ends the process at once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => { stop.abort(); });
  return stop.signal;
}

async function start(options: RecordedServerOptions): Promise<RecordedServer> {
  try {
    return await startRecordedServer(options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE" && code !== "EACCES") throw error;
    throw new SetupError(`port ${options.port} of 127.0.0.1 cannot be had: ${code}`, "Leave --port out to get a free one, or name another", { cause: error });
  }
}

const baseUrl = ({ url }: RecordedServer): string => `${url}/v1`;

function ready(server: RecordedServer, { models, rows, queries }: RecordedAnswers): string {
  const lines = models.map((one) => [one.model, ...[one.queries, one.texts, one.calls, one.confidences, one.latencies].map(String)]);
  return `\n${rows} rows with ${queries} queries, served at ${baseUrl(server)} (base_url of a tier)\n
${textTable(["MODEL", "QUERIES", "WITH TEXT", "WITH CALLS", "WITH CONFIDENCE", "WITH LATENCY"], lines)}

Stop it with: Ctrl-C; it says then what it would have cost, as ${server.url}/bill does now`;
}

function describeBill({ models, total }: BillReply): string {
  const lines = [...models, { model: "total", ...total }].map(({ model, calls, completed, aborted: left, failed, prompt_tokens, completion_tokens, cost_nano_usd }) =>
    [model, ...[calls, completed, left, failed, prompt_tokens, completion_tokens, cost_nano_usd].map(String)]);
  return `\n${textTable(["MODEL", "CALLS", "COMPLETED", "ABORTED", "FAILED", "PROMPT TOKENS", "COMPLETION TOKENS", "NANO-USD"], lines)}`;
}
