/** What a shell may complete: each command with its verbs and options. */
import type { Command } from "../command.ts";

export interface Completed {
  readonly name: string;
  /** The first sentence of its summary. */
  readonly says: string;
  readonly verbs: readonly string[];
  readonly options: readonly { readonly name: string; readonly short: string | null; readonly takesValue: boolean }[];
}

export function completedCommands(commands: ReadonlyMap<string, () => Promise<Command>>): Promise<Completed[]> {
  return Promise.all([...commands].map(async ([name, read]) => {
    const { summary, verbs = [], options } = await read();
    const own = Object.entries(options).map(([option, { type, short }]) => ({ name: option, short: short ?? null, takesValue: type === "string" }));
    return { name, says: /^.*?[.:](?= |$)/.exec(summary)?.[0].slice(0, -1) ?? summary, verbs, options: [...own, { name: "help", short: "h", takesValue: false }] };
  }));
}
