/** Ask over NATS; when it fails, repeat the same request: `npx tsx producers/client/examples/nats.ts [url]`. */
import { connectInferClient, isRetryable } from "cost-aware-inference-optimizer/client";

const [url = "nats://127.0.0.1:4222"] = process.argv.slice(2);
const client = await connectInferClient({ url, tenantId: "demo", userId: "example" });

const request = { input: "Subject: Lunch?\n\nAre you free at noon?", budget: 0.01, deadline_ms: 10_000 };
try {
  const { outcome, output, error } = await client.infer(request);
  process.stdout.write(`${outcome}: ${output ?? error?.message ?? ""}\n`);
} catch (error) {
  // The client has tried for as long as it may. What was accepted goes on, and the same id gives its outcome.
  if (!isRetryable(error) || error.requestId === null) throw error;
  process.stdout.write(`${error.code}: ask again for ${error.requestId}\n`);
  const { output } = await client.infer({ ...request, request_id: error.requestId }, { timeoutMs: 300_000 });
  process.stdout.write(`${output ?? "no answer"}\n`);
} finally {
  await client.close();
}
