/** The page: built beside the program, read once. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import type { FastifyPluginCallback } from "fastify";

import { AppError } from "#shared/contracts/errors.ts";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml", png: "image/png", ico: "image/x-icon", json: "application/json", map: "application/json", woff2: "font/woff2", txt: "text/plain; charset=utf-8",
};
/** Its hash is in its name, so what is there never changes. */
const HASHED = /[-.][A-Za-z0-9_]{8,}\.[a-z0-9]+$/;
/** Nothing from elsewhere, and nothing that stands in the page itself. */
export const PAGE_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

interface PageFile {
  readonly body: Buffer;
  readonly type: string;
  readonly isHashed: boolean;
}
export const pageFolder = (): string => fileURLToPath(new URL("./console", import.meta.url));

/** By path below the folder; empty when there is none. */
export function readPageFiles(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  const add = (path: string): void => {
    const name = relative(folder, path).replaceAll("\\", "/");
    files.set(name, { body: readFileSync(path), type: TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream", isHashed: HASHED.test(name) });
  };
  const walk = (at: string): void => {
    for (const name of readdirSync(at)) {
      const path = join(at, name);
      if (statSync(path).isDirectory()) walk(path);
      else add(path);
    }
  };
  try {
    walk(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return files;
}

/** Every path that is no file is the page itself: it reads there what to show. */
export const pageRoutes = (files: ReadonlyMap<string, PageFile>): FastifyPluginCallback => (app, _options, done) => {
  app.get("/console", (_request, reply) => reply.send(serve("", reply)));
  app.get<{ Params: { "*": string } }>("/console/*", ({ params }, reply) => reply.send(serve(params["*"], reply)));

  function serve(path: string, reply: { header(name: string, value: string): unknown }): Buffer {
    const file = files.get(path) ?? (path.includes(".") ? undefined : files.get("index.html")); // no id has a dot
    if (file === undefined) throw new AppError("not_found", files.size === 0 ? "the console's page was not built: npm run build" : "there is no such file");
    reply.header("content-type", file.type);
    reply.header("cache-control", file.isHashed ? "public, max-age=31536000, immutable" : "no-cache");
    reply.header("content-security-policy", PAGE_POLICY);
    reply.header("x-content-type-options", "nosniff");
    reply.header("referrer-policy", "no-referrer");
    return file.body;
  }
  done();
};
