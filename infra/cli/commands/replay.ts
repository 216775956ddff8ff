/** `inferctl replay`: opens the one source of audit events, and gives it to the mode. */
import { rmSync } from "node:fs";

import { type Command, type ParsedArguments, wrongUse } from "../command.ts";
import { commandLine } from "../commandLine.ts";
import { type Interruption, listenForInterruption } from "../replay/interruption.ts";
import { keepPlace, type KeptPlace, readPlace } from "../replay/keptPlace.ts";
import { withSource } from "../replay/openSource.ts";
import type { ReplayMode } from "../replay/replayMode.ts";
import { REPLAY_MODES } from "../replay/replayModes.ts";
import { SOURCE_DETAILS, SOURCE_OPTIONS, SOURCE_USAGE, sourceWanted } from "../replay/sourceOptions.ts";
import { watchSource } from "../replay/watchSource.ts";

const OWN_OPTIONS = { mode: { type: "string" }, ...SOURCE_OPTIONS, strict: { type: "boolean" }, resume: { type: "string" }, json: { type: "boolean" } } as const;
/** What does not change what is found. */
const ASIDE: ReadonlySet<string> = new Set(["resume", "json", "yes", "confirm"]);
const MOST_FILES = 1_000;

/** `listen`: for Ctrl-C. */
export const replayOf = (modes: readonly ReplayMode[], listen: () => Interruption = listenForInterruption): Command => ({
  summary: "Reads what has happened from the audit stream, the audit or exported files, and decides, estimates or runs it again.",
  usage: `--mode ${modes.map(({ name }) => name).join("|")} ${SOURCE_USAGE} [options of the mode]`,
  details: [
    ...SOURCE_DETAILS,
    "--strict       ends with 65 at the first that cannot be read; without it that is skipped, named and counted",
    "--resume       a file that keeps the place: an interrupted run goes on from there, with the same totals in the end. Not there yet: this run begins it",
    "--json         for programs",
    "Ctrl-C finishes the events in hand, keeps the place and says how to go on (exit code 130). live and shadow keep it all the time, in the working folder without --resume: killed, they go on too.",
    ...modes.flatMap(({ name, summary, details, example }) => ["", `--mode ${name}: ${summary}`, ...details, `Example: ${example}`]),
  ],
  example: modes[0]?.example ?? "inferctl replay --mode verify --since 7d",
  options: Object.assign({}, ...modes.map(({ options }) => options), OWN_OPTIONS) as Command["options"],
  maxPositionals: MOST_FILES,
  run: async (given, context) => {
    const { values } = given;
    const mode = modeOf(modes, values);
    const wanted = sourceWanted("replay", given, Date.now());
    if (hasEffects(mode) && wanted.from.kind === "files" && wanted.from.files.includes("-")) throw wrongUse("replay", `--mode ${mode.name} does not read standard input: whether it is whole is known at its end alone`);
    const command = typed(given, (name) => !ASIDE.has(name));
    const resumeFile = typeof values["resume"] === "string" ? values["resume"] : undefined;
    const resumed = resumeFile === undefined ? null : readPlace(resumeFile, command);
    const placeFile = resumeFile ?? newPlaceFile(mode);
    const isKeptAlways = resumeFile !== undefined || hasEffects(mode);
    const goOn = `go on with: ${typed({ ...given, values: { ...values, resume: placeFile } }, () => true)}`;
    const interruption = listen();
    try {
      return await withSource(wanted, { environment: context.environment, user: mode.name === "live" ? "replay-live" : "replay", progress: context.progress, signal: interruption.signal }, async (opened) => {
        const watched = watchSource(opened, { readBefore: resumed?.read ?? 0, isStrict: values["strict"] === true, tell: context.progress.tell, now: () => performance.now() });
        let place: KeptPlace | null = resumed;
        const keep = (cursor: string, found: unknown): Promise<void> => {
          if (place === null && resumeFile === undefined && isKeptAlways) context.progress.note(`if it is killed, ${goOn}`);
          place = { command, cursor, read: cursor === opened.start ? 0 : watched.read(), found };
          if (isKeptAlways) keepPlace(placeFile, place);
          return Promise.resolve();
        };
        const code = await mode.run(values, { ...context, source: watched.source, resumed, keep, signal: interruption.signal });
        watched.unreadLines().forEach(context.progress.note);
        if (!interruption.signal.aborted) {
          if (resumeFile === undefined && isKeptAlways) rmSync(placeFile, { force: true });
          return code;
        }
        if (place !== null && !isKeptAlways) keepPlace(placeFile, place);
        context.progress.note(place === null ? "interrupted before anything was done; nothing to go on from" : `interrupted after ${place.read.toLocaleString("en")} events; ${goOn}`);
        return interruption.exitCode();
      });
    } finally {
      interruption.end();
    }
  },
});

export const replay: Command = replayOf(REPLAY_MODES);

/** What it does cannot be taken back. */
const hasEffects = ({ name }: ReplayMode): boolean => name === "live" || name === "shadow";

/** With the options of that mode alone. Throws a `SetupError`. */
function modeOf(modes: readonly ReplayMode[], values: ParsedArguments["values"]): ReplayMode {
  const names = modes.map(({ name }) => name).join(", ");
  const mode = modes.find(({ name }) => name === values["mode"]);
  if (mode === undefined) throw wrongUse("replay", values["mode"] === undefined ? `say --mode: ${names}` : `there is no --mode ${String(values["mode"])}; there are ${names}`);
  const foreign = Object.keys(values).find((name) => values[name] !== undefined && name !== "help" && !(name in OWN_OPTIONS) && !(name in mode.options));
  if (foreign !== undefined) throw wrongUse("replay", `--${foreign} does not go with --mode ${mode.name}`);
  return mode;
}

const typed = ({ values, positionals }: ParsedArguments, isWanted: (name: string) => boolean): string =>
  commandLine("replay", Object.fromEntries(Object.entries(values).filter(([name]) => isWanted(name))), positionals);

/** In the working folder, where no file was named. */
const newPlaceFile = ({ name }: ReplayMode): string => `replay-${name}-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "")}-${process.pid}.json`;
