/** A process: a bare proxy of Fastify and undici, which does nothing but pass on. Prints its port. Arguments: the model's base URL. */
import type { AddressInfo } from "node:net";

import Fastify from "fastify";
import { Pool } from "undici";

const upstream = new URL(process.argv[2] ?? "");
const pool = new Pool(upstream.origin, { connections: 256 });
const app = Fastify({ logger: false });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => { done(null, body); });
app.post("/v1/chat/completions", async (request, reply) => {
  const { statusCode, body } = await pool.request({ path: `${upstream.pathname}/chat/completions`, method: "POST", headers: { "content-type": "application/json" }, body: request.body as Buffer });
  return reply.code(statusCode).header("content-type", "application/json").send(Buffer.from(await body.arrayBuffer()));
});
await app.listen({ host: "127.0.0.1", port: 0 });
process.stdout.write(`${(app.server.address() as AddressInfo).port}\n`);
