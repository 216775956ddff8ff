/** Recorded texts for evaluation, judged by the workers' own functions. */
import { readOutputs, type RecordedOutput } from "#infra/recorded/recordedAnswers.ts";
import type { TextJudge } from "#router/evaluation/confidenceSources.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { isSound } from "#workers/backends/isSound.ts";
import { answerIn, tierAgreement } from "#workers/confidence/tierAgreement.ts";

/**
 * As a worker judges an answer that the server ended itself; with a pattern, one in which it finds no answer proper is not
 * sound, either. A refusal that is told in prose is seen by that alone: no field of a recorded text says so. Pure.
 */
export const textJudge = (answerPattern: string | null): TextJudge => {
  const pattern = answerPattern === null ? null : new RegExp(answerPattern, "giu");
  return {
    agreement: (output, earlier) => tierAgreement(output, earlier, pattern) ?? 0,
    isSound: (query, output) => isSound(query, { text: output, refusal: null, finish_reason: "stop", isCallersLimit: false }) && (pattern === null || answerIn(output, pattern) !== null),
  };
};

/** Puts texts to the rows of their ids. `tiers`: the models, in the rows' order. Throws `EvaluationError` when no row has one, and as `readOutputs` does. */
export async function textsFor(files: readonly string[], tiers: readonly string[]): Promise<(rows: readonly OutcomeRow[]) => OutcomeRow[]> {
  const outputs = await readOutputs(files);
  return (rows) => {
    const withTexts = rows.map((row) => ({ ...row, tiers: row.tiers.map((outcome, place) => withText(outcome, outputs.get(row.id)?.get(tiers[place] ?? ""))) }));
    if (rows.length > 0 && !withTexts.some((row) => row.tiers.some(({ text }) => text !== undefined))) throw new EvaluationError(`${files.join(", ")}: no text is of a row's id and of one of ${tiers.join(", ")}`);
    return withTexts;
  };
}

/** Calls without a text are an empty one. */
const withText = (outcome: OutcomeRow["tiers"][number], output: RecordedOutput | undefined) => (output === undefined ? outcome : { ...outcome, text: output.text ?? "" });
