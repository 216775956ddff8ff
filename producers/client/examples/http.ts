/** Ask over HTTP, and say how good the answer was: `npx tsx producers/client/examples/http.ts [url]`. */
import { connectInferClient } from "cost-aware-inference-optimizer/client";

const [url = "http://127.0.0.1:8080"] = process.argv.slice(2);
const client = await connectInferClient({ url, tenantId: "demo", userId: "example" });

const answer = await client.infer({ input: "Subject: You have won! Click here to claim your prize", budget: 0.01 });
process.stdout.write(`${answer.outcome}: ${answer.output ?? "no answer"} by ${answer.tier ?? "nobody"} for ${answer.cost_usd} USD\n`);

await client.feedback(answer.request_id, { score: answer.output === "spam" ? 1 : 0, source: "user" });
await client.close();
