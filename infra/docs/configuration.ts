import type { z } from "zod";

import { ROLE_CONFIGS } from "#infra/embedded/roleConfigs.ts";
import { UpEnvironment } from "#infra/embedded/settings.ts";
import { ENVIRONMENT } from "#shared/runtime/environment.ts";
import { ProcessConfig } from "#shared/runtime/runRole.ts";
import { heldBy } from "#shared/runtime/secretFiles.ts";

interface Variable {
  readonly name: string;
  readonly fallback: string;
  readonly meaning: string;
  readonly readers: string;
}

function variables(): Variable[] {
  return Object.entries(ENVIRONMENT).map(([name, schema]: [string, z.ZodType]) => {
    const parsed = schema.safeParse(undefined);
    const fallback = typeof parsed.data === "string" || typeof parsed.data === "number" ? String(parsed.data) : "";
    const read = heldBy(name); // a file is read where what it holds is
    const roles = Object.entries(ROLE_CONFIGS).filter(([, config]) => [config, ProcessConfig].some((schema) => keysOf(schema).includes(read))).map(([role]) => role);
    const readers = [...(roles.length === Object.keys(ROLE_CONFIGS).length ? ["all roles"] : roles), ...(roles.length === 0 || readByInferctl.includes(read) ? ["inferctl"] : [])];
    return { name, fallback, meaning: schema.description ?? "", readers: readers.join(", ") };
  });
}

/** Of those that a role reads too. The secret: to make keys and endpoints. */
const readByInferctl = [...keysOf(UpEnvironment), "INFER_SECRET"];

/** The variables that a role's schema picks, below its transforms. */
function keysOf(schema: z.ZodType): string[] {
  const { def } = schema as unknown as { def: { in?: z.ZodType; shape?: Record<string, unknown> } };
  return def.in !== undefined ? keysOf(def.in) : Object.keys(def.shape ?? {});
}

export function environmentTable(): string {
  const rows = variables().map(({ name, fallback, meaning, readers }) => `| \`${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${readers} | ${meaning} |`);
  return ["| variable | default | read by | meaning |", "|---|---|---|---|", ...rows].join("\n");
}

export function environmentExample(): string {
  const lines = variables().map(({ name, fallback, meaning }) => `${meaning === "" ? "" : `# ${meaning}\n`}#${name}=${fallback}\n`);
  return `# Every variable with its default. Made by \`npm run docs:generate\` from shared/runtime/environment.ts.\n# \`make up\` reads no .env by itself: set -a; . ./.env; set +a; make up. Docker Compose does.\n\n${lines.join("\n")}`;
}
