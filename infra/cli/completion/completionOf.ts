/** What a shell may complete: each command with its verbs and options. */
import { COMMANDS } from "../commands.ts";

export interface Completed {
  readonly name: string;
  /** The first sentence of its summary. */
  readonly says: string;
  readonly verbs: readonly string[];
  readonly options: readonly { readonly name: string; readonly short: string | null; readonly takesValue: boolean }[];
}

export async function completedCommands(): Promise<Completed[]> {
  return Promise.all([...COMMANDS].map(async ([name, read]) => {
    const { summary, verbs = [], options } = await read();
    const own = Object.entries(options).map(([option, { type, short }]) => ({ name: option, short: short ?? null, takesValue: type === "string" }));
    return { name, says: /^.*?[.:](?= |$)/.exec(summary)?.[0].slice(0, -1) ?? summary, verbs, options: [...own, { name: "help", short: "h", takesValue: false }] };
  }));
}
