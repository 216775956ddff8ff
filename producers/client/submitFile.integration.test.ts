/** A file as one batch, through a real gateway; the models are played by the test. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import type { BatchResult } from "#shared/contracts/batch.ts";

import { submitFile, type SubmitFileOptions } from "./submitFile.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let gateway: TestGateway;
let folder: string;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "submit_file");
  gateway = await startTestGateway({ DATABASE_URL: database.url });
});
afterAll(async () => {
  await gateway.close();
  await database.drop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "submit-"));
  return () => { rmSync(folder, { recursive: true }); };
});

function optionsFor(text: string, more: Partial<SubmitFileOptions> = {}): SubmitFileOptions {
  const file = join(folder, "questions.jsonl");
  writeFileSync(file, text);
  return {
    url: gateway.url.replace(/\/v1$/, ""), tenantId: "t1", file, out: join(folder, "answers.jsonl"), defaults: { user_id: "u", budget: 0.01 }, patienceMs: 2_000,
    onProgress: () => undefined, onNote: () => undefined, ...more,
  };
}
const results = () => readFileSync(join(folder, "answers.jsonl"), "utf8").split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as BatchResult);
const lineOf = (input: string) => JSON.stringify({ custom_id: input, input });

it("numbers lines as the service does, whatever separators of Unicode are in them", async () => {
  const inputs = ["first", "a\u2028b", "a\u2029b\u0085c", "last"];
  gateway.play(({ id, request, complete }) => complete({ output: `${id.request_id.slice(-1)} ${request.input ?? ""}` }));
  const state = await submitFile(optionsFor(`\n${lineOf(inputs[0] ?? "")}\r\n \n${inputs.slice(1).map(lineOf).join("\n")}\n\n`));
  expect([state.lines, results().map(({ custom_id, output }) => [custom_id, output])]).toEqual([4, inputs.map((input, i) => [input, `${i + 1} ${input}`])]);
});

it("sends many lines in parts", async () => {
  gateway.play(({ complete }) => complete());
  const inputs = Array.from({ length: 1_050 }, (_, i) => `question ${i}`);
  expect([(await submitFile(optionsFor(inputs.map(lineOf).join("\n")))).ended.completed, results().map(({ custom_id }) => custom_id)]).toEqual([1_050, inputs]);
});

it("says what is wrong with a line, and goes on neither with another tenant's batch nor at another gateway", async () => {
  const text = `${lineOf("a")}\n{"custom_id":"b"}`;
  await expect(submitFile(optionsFor(text))).rejects.toMatchObject({ name: "SubmitFailed", message: expect.stringContaining("invalid_request: line 2: input") as string });
  await expect(submitFile(optionsFor(text, { tenantId: "t2" }))).rejects.toMatchObject({ message: expect.stringContaining("another tenant") as string, nextStep: expect.stringContaining("--tenant t1") as string });
  await expect(submitFile(optionsFor(text, { url: "http://127.0.0.1:1" }))).rejects.toMatchObject({ message: expect.stringContaining("is of a batch at") as string });
  await expect(submitFile(optionsFor(lineOf("a")))).rejects.toMatchObject({ message: expect.stringContaining("is of another content") as string });
});

it("downloads on after the last line that arrived", async () => {
  gateway.play(({ complete }) => complete());
  const breaking = await startBreakingProxy(gateway.url);
  const notes: string[] = [];
  await submitFile(optionsFor(Array.from({ length: 300 }, (_, i) => lineOf(`question ${i}`)).join("\n"), { url: breaking.url, onNote: (note) => notes.push(note) }));
  expect([results().map(({ line }) => line), breaking.asked]).toEqual([Array.from({ length: 300 }, (_, i) => i + 1), ["0", expect.stringMatching(/^[1-9]\d*$/)]]);
  expect(notes.at(-1)).toContain("no whole answer");
  await breaking.close();
});

/** Breaks the first download off in its midst. */
async function startBreakingProxy(to: string) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? "", to);
      const body = request.method === "POST" ? Buffer.concat(await request.toArray() as Buffer[]) : undefined;
      const answer = await fetch(url, { method: request.method ?? "GET", ...(body === undefined || body.length === 0 ? {} : { body: new Uint8Array(body), headers: { "content-type": request.headers["content-type"] ?? "" } }) });
      const text = Buffer.from(await answer.arrayBuffer());
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
      if (url.pathname.endsWith("/results")) asked.push(url.searchParams.get("after_line") ?? "");
      if (asked.length === 1) response.write(text.subarray(0, text.length / 2), () => { response.destroy(); });
      else response.end(text);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}
