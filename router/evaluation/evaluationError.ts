/** What the caller of an evaluation has to change: an option, a file, a row. Anything else that is thrown is a bug. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
}
