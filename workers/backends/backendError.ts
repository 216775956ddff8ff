import type { Usage } from "#shared/contracts/events.ts";
import type { ErrorCode } from "#shared/contracts/errors.ts";

type BackendErrorCode = Extract<ErrorCode, "backend_unavailable" | "backend_refused" | "backend_bad_response" | "deadline_exceeded" | "cancelled">;
interface Details extends ErrorOptions {
  /** Another try may succeed. */
  readonly isTransient?: boolean;
  /** What the server asked for, in milliseconds. */
  readonly retryAfterMs?: number;
  /** The server may have worked, and may charge for it. */
  readonly mayHaveCost?: boolean;
  /** What was read and made until it broke off, as far as it is known here: it is charged for. */
  readonly usage?: Usage;
  /** The server takes no more calls now: it said so, could not be reached, or did not answer in its time. */
  readonly isPushback?: boolean;
  /** Whether it says something about the backend's health. Default true; false for what this one request caused. */
  readonly isBackendsFault?: boolean;
}

/** A call that brought no answer. `message` names no secret and repeats nothing that the server sent. */
export class BackendError extends Error {
  override readonly name = "BackendError";
  readonly code: BackendErrorCode;
  readonly isTransient: boolean;
  readonly retryAfterMs: number | null;
  readonly mayHaveCost: boolean;
  readonly isBackendsFault: boolean;
  readonly isPushback: boolean;
  readonly usage: Usage | null;
  constructor(code: BackendErrorCode, message: string, { isTransient = false, retryAfterMs, mayHaveCost = false, isBackendsFault = true, isPushback = false, usage, ...options }: Details = {}) {
    super(message, options);
    this.code = code;
    this.isTransient = isTransient;
    this.retryAfterMs = retryAfterMs ?? null;
    this.mayHaveCost = mayHaveCost;
    this.isBackendsFault = isBackendsFault;
    this.isPushback = isPushback;
    this.usage = usage ?? null;
  }

  /** The same, with what was spent until then. */
  spending(usage: Usage): BackendError {
    return this.with({ usage, mayHaveCost: true });
  }

  /** The same, but for the usage. */
  withUsage(usage: Usage): BackendError {
    return this.with({ usage });
  }

  private with(over: Details): BackendError {
    const { code, message, isTransient, retryAfterMs, isBackendsFault, isPushback, mayHaveCost, cause } = this;
    return new BackendError(code, message, { isTransient, isBackendsFault, isPushback, mayHaveCost, cause, ...(retryAfterMs === null ? {} : { retryAfterMs }), ...over });
  }
}

/** A call that its signal ended. Whoever aborted knows why; `usage` is what the model had read and made by then, `null` when nothing came. */
export class CutOff extends Error {
  override readonly name = "CutOff";
  readonly usage: Usage | null;
  constructor(usage: Usage | null, options: ErrorOptions) {
    super("the call was cut off", options);
    this.usage = usage;
  }
}
