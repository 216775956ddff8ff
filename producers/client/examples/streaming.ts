/** Show an answer while it grows, over HTTP or NATS: `npx tsx producers/client/examples/streaming.ts [url]`. */
import { connectInferClient } from "cost-aware-inference-optimizer/client";

const [url = "http://127.0.0.1:8080"] = process.argv.slice(2);
const client = await connectInferClient({ url, tenantId: "demo", userId: "example" });

// Pieces come early from a tier whose answer is kept whatever it is: any that `always-<tier>` names.
for await (const part of client.stream({ input: "Subject: Cheap watches, buy now!", budget: 0.01, policy: "always-large" })) {
  if (part.kind === "piece") process.stdout.write(part.text);
  else process.stdout.write(`\n${part.outcome.outcome} by ${part.outcome.model ?? "nobody"} in ${part.outcome.latency_ms} ms\n`);
}
await client.close();
