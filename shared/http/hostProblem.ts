import { AppError } from "#shared/contracts/errors.ts";
import { isLoopback } from "#shared/runtime/loopback.ts";

/** Of a service without API keys: a web page that resolves its own name to this address is refused. */
export function hostProblem(hostname: string): AppError | undefined {
  return isLoopback(hostname.replace(/^\[|\]$/g, "")) ? undefined : new AppError("forbidden_host", "without API keys this service answers only as localhost or a loopback address");
}

const CHANGES_NOTHING = new Set(["GET", "HEAD", "OPTIONS"]);

/** Of a service without API keys: a page of another origin may send a call without a body before anybody asks whether it may, so it is refused. `host`: with its port, as the call says. */
export function originProblem({ method, origin, host }: { readonly method: string; readonly origin: string | undefined; readonly host: string }): AppError | undefined {
  if (origin === undefined || CHANGES_NOTHING.has(method) || (URL.canParse(origin) && new URL(origin).host === host)) return undefined;
  return new AppError("forbidden_host", "without API keys this service changes nothing for a web page of another origin");
}
