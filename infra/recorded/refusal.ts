/** Why a call gets no answer, as OpenAI says it. Pure. */
export interface Refusal {
  readonly status: number;
  readonly body: { readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null } };
}

/** `status` from 400 to 599. */
export const refusal = (status: number, code: string | null, message: string, param: string | null = null): Refusal => ({
  status,
  body: { error: { message, type: typeOf(status), param, code } },
});

function typeOf(status: number): string {
  if (status >= 500) return "server_error";
  return { 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error" }[status] ?? "invalid_request_error";
}
