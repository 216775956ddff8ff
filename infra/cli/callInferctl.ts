import type { Environment } from "#infra/embedded/homeFolder.ts";

import { dispatch } from "./dispatch.ts";
import { PLAIN_SCREEN } from "./screen.ts";

export interface Called {
  readonly code: number;
  readonly printed: string;
  readonly errors: string;
  readonly notes: string;
}

/** For tests: a command as it is typed, in this process. Whatever would prepare servers is an error. */
export async function callInferctl(args: readonly string[], environment: Environment): Promise<Called> {
  const printed: string[] = [], errors: string[] = [], notes: string[] = [];
  const unused = () => Promise.reject(new Error("not used"));
  const code = await dispatch(args, {
    environment, screen: PLAIN_SCREEN, print: (line) => void printed.push(line), progress: { note: (line) => void notes.push(line), step: (_title, run) => run() },
    prepare: { topology: unused, migrations: unused, localModels: unused },
  }, (line) => void errors.push(line));
  return { code, printed: printed.join("\n"), errors: errors.join("\n"), notes: notes.join("\n") };
}
