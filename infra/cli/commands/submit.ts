import { SetupError } from "#infra/embedded/setupError.ts";
import { SubmitFailed, submitFile } from "#producers/client/submitFile.ts";
import { BatchDefaults, type BatchReply } from "#shared/contracts/batch.ts";
import { inOneLine, issueLines } from "#shared/contracts/describeIssues.ts";

import { type Command, EXIT_INCOMPLETE, sayer, wrongUse } from "../command.ts";
import { progressBar } from "../progressBar.ts";
import { roleUrl } from "../serverUrl.ts";

const PATIENCE_MS = 10 * 60_000;

export const submit: Command = {
  summary: "Runs a file of requests (JSON lines) as one batch and writes their results; interrupted, the same command goes on.",
  usage: "<file.jsonl> --out <results.jsonl> [--user <user>] [--budget <usd>] [--policy <policy>] [--tenant <tenant>] [--url <gateway>]",
  details: [
    "Each line is a body of POST /infer, with custom_id (optional) instead of an id: {\"custom_id\":\"a1\",\"input\":\"...\"}",
    "--out      the results, one line each, in the order of the file",
    "--user, --budget, --policy   of lines that do not say it",
    "--tenant   without an API key: whose batch it is. The key is read from INFER_API_KEY",
    "--url      the gateway (default: the one that `inferctl up` started)",
    "--json     the summary for programs",
    "Ends with 2 when a line failed or was rejected, or the batch was cancelled; the results say why.",
  ],
  example: "inferctl submit questions.jsonl --out answers.jsonl --user nightly --budget 0.01",
  options: { out: { type: "string" }, user: { type: "string" }, budget: { type: "string" }, policy: { type: "string" }, tenant: { type: "string" }, url: { type: "string" }, json: { type: "boolean" } },
  maxPositionals: 1,
  run: async ({ values, positionals: [file] }, { environment, print, progress }) => {
    const text = (option: string): string | undefined => (typeof values[option] === "string" ? values[option] : undefined);
    const out = text("out");
    if (file === undefined || out === undefined) throw wrongUse("submit", "say which file to submit and, with --out, where the results go");
    const { user, budget, policy } = { user: text("user"), budget: text("budget"), policy: text("policy") };
    const defaults = BatchDefaults.safeParse({ ...(user === undefined ? {} : { user_id: user }), ...(budget === undefined ? {} : { budget: Number(budget) }), ...(policy === undefined ? {} : { policy }) });
    if (!defaults.success) throw wrongUse("submit", inOneLine(issueLines(defaults.error)));
    const startedMs = performance.now();
    const state = await progress.step("batch", () => submitFile({
      url: (text("url") ?? roleUrl("gateway", environment)).replace(/\/$/, ""), apiKey: environment["INFER_API_KEY"], tenantId: text("tenant"), file, out, defaults: defaults.data, patienceMs: PATIENCE_MS,
      onNote: progress.note, onProgress: (now) => { progress.tell?.(lineOf(now, startedMs)); },
    }), ({ status }) => status).catch((error: unknown) => {
      if (error instanceof SubmitFailed) throw new SetupError(error.message, error.nextStep, { cause: error });
      throw error;
    });
    sayer({ values }, { print })(state, summaryOf(state, out));
    return state.status === "completed" && state.ended.failed + state.ended.rejected === 0 ? 0 : EXIT_INCOMPLETE;
  },
};

const doneOf = ({ ended }: BatchReply): number => Object.values(ended).reduce((sum, count) => sum + count, 0);
const usd = (amount: number): string => `${amount.toFixed(6)} USD`;
const lineOf = (state: BatchReply, startedMs: number): string =>
  `${progressBar(doneOf(state), state.lines)} lines, ${Math.round((performance.now() - startedMs) / 1_000)} s, ${usd(state.cost_usd)}`;
const summaryOf = (state: BatchReply, out: string): string => {
  const { completed, degraded, failed, rejected } = state.ended;
  const share = state.baseline_cost_usd > 0 ? ` (${((100 * state.saving_usd) / state.baseline_cost_usd).toFixed(1)} %)` : "";
  return [
    `batch ${state.batch_id}: ${state.status}, ${state.lines} lines: ${completed} completed, ${degraded} degraded, ${failed} failed, ${rejected} rejected`,
    `cost ${usd(state.cost_usd)}; the baseline would have cost ${usd(state.baseline_cost_usd)}; saved ${usd(state.saving_usd)}${share}`,
    `results: ${out}`,
  ].join("\n");
};
