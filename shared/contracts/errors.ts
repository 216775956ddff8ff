/**
 * The one error that crosses module boundaries on purpose. `code` tells the caller what to do, `message` is for the
 * log, and a client sees `code` and `publicMessage` only. Anything else that is thrown is a bug.
 *
 * 503 means an outage of a dependency, and an outage is always a 503: it is nobody's fault and poisons no message.
 */
export const ERROR_CODES = {
  invalid_json: { httpStatus: 400, retryable: false },
  invalid_unicode: { httpStatus: 400, retryable: false },
  invalid_request: { httpStatus: 400, retryable: false },
  /** Asks for more at once than a rate limit ever lets through: waiting does not help. */
  exceeds_limit: { httpStatus: 400, retryable: false },
  unsupported_version: { httpStatus: 400, retryable: false },
  /** A NATS subject that holds no valid tenant and request id. */
  bad_subject: { httpStatus: 400, retryable: false },
  /** No API key, or none that is valid. Never for an outage. */
  unauthenticated: { httpStatus: 401, retryable: false },
  budget_exceeded: { httpStatus: 402, retryable: false },
  forbidden_host: { httpStatus: 403, retryable: false },
  /** The key's role does not allow it. */
  forbidden: { httpStatus: 403, retryable: false },
  /** The body names another tenant than the key's. */
  tenant_mismatch: { httpStatus: 403, retryable: false },
  tenant_suspended: { httpStatus: 403, retryable: false },
  not_found: { httpStatus: 404, retryable: false },
  method_not_allowed: { httpStatus: 405, retryable: false },
  /** The body did not arrive in time. */
  request_timeout: { httpStatus: 408, retryable: true },
  /** What needs the outcome of a request came before there is one. */
  no_outcome: { httpStatus: 409, retryable: false },
  /** What was to be made is there already, or would be too many. */
  conflict: { httpStatus: 409, retryable: false },
  /** The same request was accepted before and has no outcome yet. */
  idempotency_in_progress: { httpStatus: 409, retryable: true },
  /** Its tenant or user was erased. */
  erased: { httpStatus: 410, retryable: false },
  payload_too_large: { httpStatus: 413, retryable: false },
  idempotency_mismatch: { httpStatus: 422, retryable: false },
  /** The caller went away, and with it the wish for an answer. */
  cancelled: { httpStatus: 499, retryable: false },
  unsupported_media_type: { httpStatus: 415, retryable: false },
  rate_limited: { httpStatus: 429, retryable: true },
  internal: { httpStatus: 500, retryable: false },
  /** Given up on after repeated tries; the message is in DEAD_LETTERS. */
  poison: { httpStatus: 500, retryable: false },
  /** A result brought back other than what the router had signed. The message is in DEAD_LETTERS. */
  bad_snapshot: { httpStatus: 500, retryable: false },
  /** The model's server refused our call: its configuration here is wrong, not the caller's request. */
  backend_refused: { httpStatus: 502, retryable: false },
  backend_bad_response: { httpStatus: 502, retryable: false },
  /** Every tier that could be tried gave a truncated, empty or refused answer. */
  no_sound_answer: { httpStatus: 502, retryable: false },
  backend_unavailable: { httpStatus: 503, retryable: true },
  broker_unavailable: { httpStatus: 503, retryable: true },
  /** What is left of a budget cannot be known now, so nothing is spent from it. */
  budget_unknown: { httpStatus: 503, retryable: true },
  database_unavailable: { httpStatus: 503, retryable: true },
  /** The broker may have stored it. Publishing the same request again is safe. */
  accept_unknown: { httpStatus: 503, retryable: true },
  /** Accepted, and its outcome is not known yet: it will be at `GET /requests/:id`. */
  outcome_pending: { httpStatus: 503, retryable: true },
  storage_full: { httpStatus: 503, retryable: true },
  /** It would not be answered in time, or would keep others waiting who have asked for less. Nothing of it was begun. */
  overloaded: { httpStatus: 503, retryable: true },
  /** Requests that were accepted long ago have no outcome and are not taken up: no router runs, or none does its work. */
  routing_stalled: { httpStatus: 503, retryable: true },
  /** This gateway follows as many requests for others as it may. */
  too_many_streams: { httpStatus: 503, retryable: true },
  /** The console is a process of its own, and does not answer. */
  console_unavailable: { httpStatus: 503, retryable: true },
  deadline_exceeded: { httpStatus: 504, retryable: false },
  /** Only a kept answer was wanted, and there is none. */
  not_cached: { httpStatus: 504, retryable: false },
} as const satisfies Record<string, { httpStatus: number; retryable: boolean }>;
export type ErrorCode = keyof typeof ERROR_CODES;
export const ERROR_CODE_NAMES = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

export interface RateLimitHit {
  readonly kind: "requests" | "tokens";
  readonly waitMs: number;
}

export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly publicMessage: string;
  /** Of `rate_limited`: what ran out, and how long until there is enough again. */
  readonly limit: RateLimitHit | null;
  /** When it may be asked again, as far as that is known; `null`: it is not. */
  readonly retryAfterMs: number | null;
  /** `message` is shown to the client too, unless `publicMessage` says something else. Keep secrets in `cause`. */
  constructor(code: ErrorCode, message: string, options: ErrorOptions & { publicMessage?: string; limit?: RateLimitHit; retryAfterMs?: number } = {}) {
    super(message, options);
    this.code = code;
    this.publicMessage = options.publicMessage ?? message;
    this.limit = options.limit ?? null;
    this.retryAfterMs = options.retryAfterMs ?? options.limit?.waitMs ?? null;
  }
  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
  get isOutage(): boolean {
    return ERROR_CODES[this.code].httpStatus === 503;
  }
}
