import { type Command, wrongUse } from "../command.ts";
import { completedCommands } from "../completion/completionOf.ts";
import { completionScript, SHELLS } from "../completion/shellScripts.ts";

/** Of these commands, itself among them. */
export const completionFor = (commands: ReadonlyMap<string, () => Promise<Command>>): Command => ({
  summary: "Prints what completes commands, verbs and options in a shell, made from the commands themselves.",
  usage: "bash|zsh|fish",
  details: [
    "bash    source <(npx inferctl completion bash), in ~/.bashrc",
    "zsh     source <(npx inferctl completion zsh), in ~/.zshrc after compinit",
    "fish    npx inferctl completion fish > ~/.config/fish/completions/inferctl.fish",
    "It completes the word inferctl: in a clone, alias inferctl='npx inferctl' makes it one.",
  ],
  example: "source <(inferctl completion bash)",
  options: {},
  maxPositionals: 1,
  verbs: SHELLS,
  run: async ({ positionals: [named] }, { print }) => {
    const shell = SHELLS.find((one) => one === named);
    if (shell === undefined) throw wrongUse("completion", named === undefined ? `say for which shell: ${SHELLS.join(", ")}` : `there is none for ${named}; there are ${SHELLS.join(", ")}`);
    print(completionScript(shell, await completedCommands(commands)));
    return 0;
  },
});
