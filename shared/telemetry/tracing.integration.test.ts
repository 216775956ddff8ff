import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, it } from "vitest";

import { traceIdOf } from "./traceparent.ts";
import { startTracing } from "./tracing.ts";

const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

it("makes spans of the caller's trace and has sent them when it is closed", async () => {
  const posted: string[] = [];
  const collector = createServer((request, response) => {
    posted.push(request.url ?? "");
    request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const { tracer, close } = startTracing(`http://127.0.0.1:${(collector.address() as AddressInfo).port}/`, "test");
  const made = await tracer.span("s", { kind: "CONSUMER", parent: PARENT, attributes: { a: 1 } }, async (traceparent, annotate) => {
    annotate({ b: 2 });
    return traceparent;
  });
  expect(traceIdOf(made)).toBe(traceIdOf(PARENT));
  expect(made).not.toBe(PARENT);
  await expect(tracer.span("s", { kind: "CLIENT", parent: PARENT }, () => Promise.reject(new Error("from inside")))).rejects.toThrow("from inside");
  await close();
  expect(posted).toEqual(["/v1/traces"]);
  collector.closeAllConnections();
  collector.close();
});
