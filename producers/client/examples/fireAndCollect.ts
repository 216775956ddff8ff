/** Send many without waiting, and collect the outcomes as they come: `npx tsx producers/client/examples/fireAndCollect.ts [url]`. */
import { connectInferClient } from "cost-aware-inference-optimizer/client";

const [url = "nats://127.0.0.1:4222"] = process.argv.slice(2);
const client = await connectInferClient({ url, tenantId: "demo", userId: "example" });

const inputs = ["Subject: Lunch?", "Subject: You have won!", "Subject: Minutes of the meeting", "Subject: Buy now, cheap!"];
const costs: number[] = [];
await new Promise<void>((resolve, reject) => {
  // Before the first is submitted, so that none is missed.
  client.onCompletion(
    ({ cost_usd }) => {
      costs.push(cost_usd);
      if (costs.length === inputs.length) resolve();
    },
    { onError: reject },
  );
  Promise.all(inputs.map((input) => client.submit({ input, budget: 0.01 }))).catch(reject);
});
process.stdout.write(`${costs.length} outcomes for ${costs.reduce((sum, cost) => sum + cost, 0).toFixed(9)} USD\n`);
await client.close();
