import type { FastifyRequest } from "fastify";

import { traceparentFrom } from "#shared/telemetry/traceparent.ts";
import type { Beginning } from "#shared/telemetry/tracing.ts";

/** Of a call's span. It goes on with its caller's trace, and takes nothing else from its headers. */
export function serverSpan({ method, headers, protocol, url }: Pick<FastifyRequest, "method" | "headers" | "protocol" | "url">, route: string): Beginning {
  const attributes = () => ({ "http.request.method": method, "http.route": route, "url.scheme": protocol, "url.path": url.split("?", 1)[0] ?? url });
  return [`${method} ${route}`, { kind: "SERVER", parent: traceparentFrom(headers["traceparent"]), attributes }];
}
