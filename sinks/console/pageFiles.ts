/** The page: built beside the program, read once. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from "fastify";

import { AppError } from "#shared/contracts/errors.ts";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml", png: "image/png", ico: "image/x-icon", json: "application/json", map: "application/json", woff2: "font/woff2", txt: "text/plain; charset=utf-8",
};
/** Its hash is in its name, so what is there never changes. */
const HASHED = /[-.][A-Za-z0-9_]{8,}\.[a-z0-9]+$/;
/** Nothing from elsewhere, and nothing that stands in the page itself. */
export const PAGE_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** What the build has compressed, best first: by the ending of its file, and as HTTP names it. */
const CODINGS = [["br", "br"], ["gz", "gzip"]] as const;
type Coding = (typeof CODINGS)[number][1];

interface PageFile {
  readonly body: Buffer;
  readonly coded: Readonly<Partial<Record<Coding, Buffer>>>;
  readonly type: string;
  readonly isHashed: boolean;
}
export const pageFolder = (): string => fileURLToPath(new URL("./console", import.meta.url));

/** By path below the folder; empty when there is none. */
export function readPageFiles(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  const add = (path: string): void => {
    const name = relative(folder, path).replaceAll("\\", "/");
    if (CODINGS.some(([ending]) => name.endsWith(`.${ending}`))) return;
    const coded = Object.fromEntries(CODINGS.flatMap(([ending, coding]) => (existsSync(`${path}.${ending}`) ? [[coding, readFileSync(`${path}.${ending}`)]] : [])));
    files.set(name, { body: readFileSync(path), coded, type: TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream", isHashed: HASHED.test(name) });
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
  app.get("/console", (request, reply) => reply.send(serve("", request, reply)));
  app.get<{ Params: { "*": string } }>("/console/*", (request, reply) => reply.send(serve(request.params["*"], request, reply)));

  function serve(path: string, { headers }: Pick<FastifyRequest, "headers">, reply: Pick<FastifyReply, "header">): Buffer {
    const file = files.get(path) ?? (path.includes(".") ? undefined : files.get("index.html")); // no id has a dot
    if (file === undefined) throw new AppError("not_found", files.size === 0 ? "the console's page was not built: npm run build" : "there is no such file");
    void reply.header("content-type", file.type);
    void reply.header("cache-control", file.isHashed ? "public, max-age=31536000, immutable" : "no-cache");
    void reply.header("content-security-policy", PAGE_POLICY);
    void reply.header("x-content-type-options", "nosniff");
    void reply.header("referrer-policy", "no-referrer");
    void reply.header("vary", "accept-encoding");
    const accepted = headers["accept-encoding"]?.toString() ?? "";
    for (const [, coding] of CODINGS) {
      const body = file.coded[coding];
      if (body === undefined || !isAccepted(accepted, coding)) continue;
      void reply.header("content-encoding", coding);
      return body;
    }
    return file.body;
  }
  done();
};

/** `acceptEncoding`: `gzip, deflate;q=0.5, br;q=0`. */
const isAccepted = (acceptEncoding: string, coding: Coding): boolean => acceptEncoding.split(",").some((one) => {
  const [name, ...parameters] = one.split(";").map((part) => part.trim().toLowerCase());
  return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
});
