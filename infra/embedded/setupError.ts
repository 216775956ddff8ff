/** A failure of the set-up that a person has to act on: what happened, and what to do next. */
export class SetupError extends Error {
  override readonly name = "SetupError";
  /** One or more lines that begin with a verb. */
  readonly nextStep: string;
  /** Of the process: 1, or 78 (EX_CONFIG) for a bad variable. */
  readonly exitCode: number;

  constructor(message: string, nextStep: string, options: { cause?: unknown; exitCode?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.nextStep = nextStep;
    this.exitCode = options.exitCode ?? 1;
  }
}
