/**
 * The one error of the client. What came of a request is never one: `failed` and `rejected` are outcomes, and values; but for a rate
 * limit, which is the same error by either door. Any other means that the outcome is not known here; `retryable` and `requestId` say how to learn it.
 */
import { type AppError, ERROR_CODES, type ErrorCode } from "#shared/contracts/errors.ts";

/** What only a client sees, beside what the service says. */
const CLIENT_CODES = {
  /** Nobody answered, or the connection broke: the request may have been accepted. */
  connection_failed: { httpStatus: null, retryable: true },
  /** Not within `timeoutMs`. A request that was accepted goes on. */
  timeout: { httpStatus: null, retryable: true },
  /** By the caller's signal. A request that was accepted goes on. */
  aborted: { httpStatus: null, retryable: false },
  /** This client was closed. */
  closed: { httpStatus: null, retryable: false },
  /** The pieces that were given are no beginning of the answer that was kept: throw them away. */
  stream_broken: { httpStatus: null, retryable: true },
  /** An answer that is not this service's. */
  unexpected_reply: { httpStatus: null, retryable: false },
} as const;
const CODES: Readonly<Record<InferErrorCode, { readonly httpStatus: number | null; readonly retryable: boolean }>> = { ...CLIENT_CODES, ...ERROR_CODES };
export type InferErrorCode = ErrorCode | keyof typeof CLIENT_CODES;

export interface InferErrorOptions extends ErrorOptions {
  readonly requestId?: string | null | undefined;
  readonly status?: number | undefined;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number | null;
}

export class InferError extends Error {
  override readonly name = "InferError";
  readonly code: InferErrorCode;
  /** HTTP status, also of what came over NATS; `null` for what no service said. */
  readonly status: number | null;
  /** Whether the same request, with the same id, may succeed later. */
  readonly retryable: boolean;
  /** Also of a request whose id was made here: repeat with it, or ask for its outcome. `null`: about no request. */
  readonly requestId: string | null;
  /** How long the service asks to wait, in milliseconds; `null` when it does not say. */
  readonly retryAfterMs: number | null;
  constructor(code: InferErrorCode, message: string, { requestId = null, status, retryable, retryAfterMs = null, ...options }: InferErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.status = status ?? CODES[code].httpStatus;
    this.retryable = retryable ?? CODES[code].retryable;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Without codes: any error of the client. */
export const isInferError = (error: unknown, ...codes: readonly InferErrorCode[]): error is InferError =>
  error instanceof InferError && (codes.length === 0 || codes.includes(error.code));

/** The same call, with the same request id, may succeed later. */
export const isRetryable = (error: unknown): error is InferError => isInferError(error) && error.retryable;

export const INFER_ERROR_CODES = Object.keys(CODES) as readonly InferErrorCode[];
export const isKnownCode = (code: unknown): code is InferErrorCode => typeof code === "string" && Object.hasOwn(CODES, code);

export const fromAppError = (error: AppError, requestId: string | null): InferError => new InferError(error.code, error.publicMessage, { requestId, cause: error });
