/** Completion for each shell, made from the commands' own tables. Values of options and other arguments are completed as names of files. Pure. */
import type { Completed } from "./completionOf.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

export const completionScript = (shell: Shell, commands: readonly Completed[]): string => SCRIPTS[shell](commands);

const words = ({ options }: Pick<Completed, "options">): string => options.flatMap(({ name, short }) => [`--${name}`, ...(short === null ? [] : [`-${short}`])]).join(" ");
const valued = ({ options }: Pick<Completed, "options">): string => options.filter(({ takesValue }) => takesValue).map(({ name }) => `--${name}`).join(" ");
const names = (commands: readonly Completed[]): string => commands.map(({ name }) => name).join(" ");
/** Within single quotes of a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const bash = (commands: readonly Completed[]): string => `# bash completion of inferctl: source <(npx inferctl completion bash)
_inferctl() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" verbs="" options="" valued=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names(commands)} help" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
    help) verbs="${names(commands)}" ;;
${commands.map((command) => `    ${command.name}) verbs="${command.verbs.join(" ")}" options="${words(command)}" valued="${valued(command)}" ;;`).join("\n")}
  esac
  case " $valued " in *" $before "*) return ;; esac
  if [ "$COMP_CWORD" -eq 2 ] && [ -n "$verbs" ] && [ "\${word:0:1}" != - ]; then
    COMPREPLY=($(compgen -W "$verbs" -- "$word"))
  elif [ "\${word:0:1}" = - ]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  fi
}
complete -o default -F _inferctl inferctl`;

const zsh = (commands: readonly Completed[]): string => `#compdef inferctl
# zsh completion of inferctl: source <(npx inferctl completion zsh), or this text as _inferctl in a folder of $fpath
_inferctl() {
  local -a commands verbs options valued
  commands=(
${commands.map(({ name, says }) => `    ${quoted(`${name}:${says.replaceAll(":", "\\:")}`)}`).join("\n")}
    'help:Says more about a command'
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  case "$words[2]" in
    help) verbs=(${names(commands)}) ;;
${commands.map((command) => `    ${command.name}) verbs=(${command.verbs.join(" ")}) options=(${words(command)}) valued=(${valued(command)}) ;;`).join("\n")}
  esac
  if (( \${valued[(Ie)\${words[CURRENT-1]}]} )); then
    _files
  elif [[ "\${words[CURRENT]}" == -* ]]; then
    compadd -- $options
  elif (( CURRENT == 3 && $#verbs )); then
    compadd -- $verbs
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _inferctl ]]; then _inferctl "$@"; else compdef _inferctl inferctl; fi`;

const fish = (commands: readonly Completed[]): string => [
  "# fish completion of inferctl: npx inferctl completion fish | source",
  ...commands.flatMap((command) => {
    const { name, says, verbs, options } = command;
    const seen = `__fish_seen_subcommand_from ${name}`;
    return [
      `complete -c inferctl -n __fish_use_subcommand -f -a ${name} -d ${quoted(says)}`,
      ...(verbs.length === 0 ? [] : [`complete -c inferctl -n '${seen}; and not __fish_seen_subcommand_from ${verbs.join(" ")}' -f -a '${verbs.join(" ")}'`]),
      ...options.map(({ name: option, short, takesValue }) => `complete -c inferctl -n '${seen}' -l ${option}${short === null ? "" : ` -s ${short}`}${takesValue ? " -r -F" : ""}`),
    ];
  }),
  `complete -c inferctl -n __fish_use_subcommand -f -a help -d 'Says more about a command'`,
  `complete -c inferctl -n '__fish_seen_subcommand_from help' -f -a '${names(commands)}'`,
].join("\n");

const SCRIPTS: Readonly<Record<Shell, (commands: readonly Completed[]) => string>> = { bash, zsh, fish };
