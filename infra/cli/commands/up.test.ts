import { expect, it } from "vitest";

import { quickStart } from "./up.ts";

const GATEWAY = [{ name: "gateway", url: "http://127.0.0.1:8080" }, { name: "gateway-admin", url: "http://127.0.0.1:8079" }];

it("shows a first request as the gateway takes it, with a key where it asks for one", () => {
  const [open, demo, page, opened] = quickStart({ servers: [] }, GATEWAY, {});
  expect(open).toMatch(/^curl -s http:\/\/127\.0\.0\.1:8080\/infer -H 'content-type: application\/json' -d '\{"request_id":"hello-1","user_id":"u1","tenant_id":"demo",/);
  expect([demo, page]).toEqual([expect.stringMatching(/^npx inferctl demo /), expect.stringMatching(/^http:\/\/127\.0\.0\.1:8079\/console /)]);
  expect(opened).toContain('psql "$DATABASE_URL"');
  const [key, closed] = quickStart({ servers: [] }, GATEWAY, { INFER_AUTH: "keys" });
  expect(key).toContain("npx inferctl keys create --tenant demo");
  expect(closed).toContain('-H "authorization: Bearer $INFER_API_KEY"');
  expect(closed).not.toContain("tenant_id"); // it is the key's
});

it("names the file of Postgres's password, and never the password", () => {
  const asks = { service: "postgres", provider: "embedded", version: "17.0", url: "postgresql://postgres@127.0.0.1:5432/infer", where: "postgres", passwordFile: "/home/me/.infer/logins/postgres/owner" } as const;
  expect(quickStart({ servers: [asks] }, GATEWAY, { INFER_AUTH: "keys" }).at(-1)).toBe("PGPASSWORD=$(cat '/home/me/.infer/logins/postgres/owner') psql postgresql://postgres@127.0.0.1:5432/infer -c 'TABLE requests LIMIT 5'");
});
