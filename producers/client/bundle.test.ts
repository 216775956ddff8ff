import { build } from "esbuild";
import { expect, it } from "vitest";

it("loads no NATS client until a NATS URL asks for one", async () => {
  const { metafile } = await build({
    entryPoints: { client: "producers/client/inferClient.ts" }, outdir: "dist", bundle: true, splitting: true, format: "esm", platform: "node", packages: "external", write: false, metafile: true,
  });
  const importsOf = (output: string, kinds: readonly string[]): string[] => {
    const all = metafile.outputs[output]?.imports.filter(({ kind }) => kinds.includes(kind)) ?? [];
    return all.flatMap(({ path, external }) => (external === true ? [path] : [path, ...importsOf(path, kinds)]));
  };
  const isOfNats = (path: string) => path.startsWith("@nats-io/") || path === "pino";
  const atOnce = importsOf("dist/client.js", ["import-statement"]);
  expect(atOnce).toContain("zod");
  expect(atOnce.filter(isOfNats)).toEqual([]);
  expect(importsOf("dist/client.js", ["import-statement", "dynamic-import"]).filter(isOfNats)).toContain("@nats-io/transport-node");
});
