/** A process: an OpenAI-compatible model that always answers the same after a while. Prints its port. Arguments: the delay in milliseconds. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const delayMs = Number(process.argv[2] ?? "0");
const ANSWER = JSON.stringify({
  id: "chatcmpl-bench", object: "chat.completion", created: 1_700_000_000, model: "bench",
  choices: [{ index: 0, message: { role: "assistant", content: "It is a summary of some words. ".repeat(4).trim() }, logprobs: null, finish_reason: "stop" }],
  usage: { prompt_tokens: 200, completion_tokens: 32, total_tokens: 232 },
});

const server = createServer((request, response) => {
  request.on("data", () => undefined);
  request.on("end", () => {
    const answer = () => { response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(ANSWER) }).end(ANSWER); };
    if (delayMs === 0) answer();
    else setTimeout(answer, delayMs);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => { process.stdout.write(`${(server.address() as AddressInfo).port}\n`); });
