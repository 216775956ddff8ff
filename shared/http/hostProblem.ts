import { AppError } from "#shared/contracts/errors.ts";
import { isLoopback } from "#shared/runtime/loopback.ts";

/** Of a service without API keys: a web page that resolves its own name to this address is refused. */
export function hostProblem(hostname: string): AppError | undefined {
  return isLoopback(hostname.replace(/^\[|\]$/g, "")) ? undefined : new AppError("forbidden_host", "without API keys this service answers only as localhost or a loopback address");
}
