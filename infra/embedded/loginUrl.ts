import { readFileSync } from "node:fs";

import type { ServerInfo } from "./serverInfo.ts";

/** As its owner, where it asks for a password. Read when it is needed, and never to be shown. */
export function loginUrl({ url, passwordFile }: Pick<ServerInfo, "url" | "passwordFile">): string {
  if (passwordFile === undefined) return url;
  const own = new URL(url);
  if (own.username === "") own.username = "default"; // of Redis
  own.password = readFileSync(passwordFile, "utf8").trim();
  return own.href;
}
