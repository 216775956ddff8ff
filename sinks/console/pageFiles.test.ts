/** The page's files as a build leaves them: what a browser is sent, and for how long it may keep it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";

import { fastify } from "fastify";
import { pino } from "pino";
import { afterAll, describe, expect, it } from "vitest";

import { addErrorHandlers } from "#shared/http/errors.ts";

import { PAGE_POLICY, pageRoutes, readPageFiles } from "./pageFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-page-"));
const SCRIPT = "export const answer = 42;\n".repeat(100), PAGE = "<!doctype html><title>Console</title>";
mkdirSync(join(folder, "more"));
for (const [name, text] of [["console-ABCD1234.js", SCRIPT], ["index.html", PAGE]] as const) {
  writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, `${name}.br`), brotliCompressSync(text));
  writeFileSync(join(folder, `${name}.gz`), gzipSync(text));
}
writeFileSync(join(folder, "more", "plain.txt"), "plain");
const app = fastify();
addErrorHandlers(app, pino({ level: "silent" }));
await app.register(pageRoutes(readPageFiles(folder)));
afterAll(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});
const get = (path: string, acceptEncoding?: string) => app.inject({ url: `/console${path}`, headers: acceptEncoding === undefined ? {} : { "accept-encoding": acceptEncoding } });

describe("a file of the page", () => {
  it.each<[string | undefined, string | undefined, (body: Buffer) => Buffer]>([
    ["gzip, deflate, br, zstd", "br", brotliDecompressSync], ["gzip", "gzip", gunzipSync], ["br;q=0, gzip;q=0.5", "gzip", gunzipSync], ["br;q=0.0", undefined, (body) => body], [undefined, undefined, (body) => body], ["", undefined, (body) => body],
  ])("is sent to who accepts %j as %s, and is the same text", async (accepted, coding, read) => {
    const { headers, rawPayload } = await get("/console-ABCD1234.js", accepted);
    expect([headers["content-encoding"], headers.vary, headers["content-type"], read(rawPayload).toString()]).toEqual([coding, "accept-encoding", "text/javascript; charset=utf-8", SCRIPT]);
    expect(Number(headers["content-length"])).toBe(rawPayload.length);
  });

  it("is kept for ever when its name has its hash, and asked for each time when not", async () => {
    expect([(await get("/console-ABCD1234.js")).headers["cache-control"], (await get("/requests/acme/r-1", "br")).headers["cache-control"]]).toEqual(["public, max-age=31536000, immutable", "no-cache"]);
    const page = await get("/requests/acme/r-1", "br");
    expect([brotliDecompressSync(page.rawPayload).toString(), page.headers["content-security-policy"]]).toEqual([PAGE, PAGE_POLICY]);
  });

  it("need not be compressed, and its compressed form is no file of its own", async () => {
    expect([(await get("/more/plain.txt", "br, gzip")).body, (await get("/console-ABCD1234.js.br")).statusCode]).toEqual(["plain", 404]);
  });
});
