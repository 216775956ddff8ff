/** `inferctl export`: audit events as a file, for replay elsewhere or later, and for other programs. */
import { SetupError } from "#infra/embedded/setupError.ts";
import { openHome } from "#infra/embedded/homeFolder.ts";
import { readSettings } from "#infra/embedded/settings.ts";
import { exportPlace, openExportFile } from "#shared/audit/exportFile.ts";
import { AppError } from "#shared/contracts/errors.ts";

import { type Command, EXIT_USAGE, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { commandLine } from "../commandLine.ts";
import { type Interruption, listenForInterruption } from "../replay/interruption.ts";
import { withSource } from "../replay/openSource.ts";
import { SOURCE_DETAILS, SOURCE_OPTIONS, SOURCE_USAGE, sourceWanted } from "../replay/sourceOptions.ts";
import { watchSource } from "../replay/watchSource.ts";

const MOST_FILES = 1_000;
/** What does not change what is exported. */
const ASIDE: ReadonlySet<string> = new Set(["resume", "json"]);

/** `listen`: for Ctrl-C. */
export const exportWith = (listen: () => Interruption): Command => ({
  summary: "Writes audit events into a file with a checksum: from the stream COMPLETIONS, from the audit, or from other exports.",
  usage: `--out <file.jsonl[.gz]> ${SOURCE_USAGE} [--redact] [--strict] [--resume]`,
  details: [
    "--out          one JSON line for each event, with its sequence, between a header and a footer; compressed where the name ends in .gz. Written as",
    "               <file>.part, for nobody else to read, and under its own name when it is whole; it overwrites nothing and follows no symbolic link",
    ...SOURCE_DETAILS,
    "--redact       without texts: no question, no answer, no message of an error, no value of metadata; users, questions and fingerprints as a keyed hash that is the same within",
    "               the file, and whose key is kept nowhere. All that decisions and statistics need is there",
    "--strict       ends with 65 at the first that cannot be read; without it that is left out, named and counted",
    "--resume       goes on with a <file>.part that was interrupted; the same command without it begins none over another",
    "--json         the summary for programs",
    "Ctrl-C, or a kill: the same command with --resume goes on, and the file has the same events in the end (exit code 130).",
  ],
  example: "inferctl export --out november.jsonl.gz --from-audit --since 2026-11-01 --until 2026-12-01 --redact",
  options: { out: { type: "string" }, ...SOURCE_OPTIONS, redact: { type: "boolean" }, strict: { type: "boolean" }, resume: { type: "boolean" }, json: { type: "boolean" } },
  maxPositionals: MOST_FILES,
  run: async (given, context) => {
    const { values } = given;
    const { environment, progress } = context;
    const out = values["out"];
    if (typeof out !== "string") throw wrongUse("export", "say which file to write: --out <file.jsonl or file.jsonl.gz>");
    const wanted = sourceWanted("export", given, Date.now());
    const command = typed(given, (name) => !ASIDE.has(name));
    const interruption = listen();
    try {
      const place = refused(() => exportPlace(out));
      return await withSource(wanted, { environment, user: "replay", progress, signal: interruption.signal }, async (opened) => {
        const header = { type: "audit_export.v1", made_at: new Date().toISOString(), prefix: readSettings(environment, openHome(environment)).prefix, source: opened.name, redacted: values["redact"] === true, schema: "completion.v1" } as const;
        const file = await openExportFile({ place, command, header, resumes: values["resume"] === true }).catch(asSetupError);
        const watched = watchSource(opened, { readBefore: file.events(), isStrict: values["strict"] === true, tell: progress.tell, now: () => performance.now() });
        const batches = watched.source.batches({ signal: interruption.signal, ...(file.cursor === undefined ? {} : { after: file.cursor }) });
        try {
          for await (const { records, cursor } of batches) await file.add(records, cursor);
        } catch (error) {
          await file.pause();
          throw error;
        }
        watched.unreadLines().forEach(progress.note);
        if (interruption.signal.aborted) {
          await file.pause();
          progress.note(`interrupted after ${file.events().toLocaleString("en")} events; go on with: ${typed({ ...given, values: { ...values, resume: true } }, () => true)}`);
          return interruption.exitCode();
        }
        const { sha256 } = await file.finish().catch(asSetupError);
        sayer(given, context)({ file: place.file, events: file.events(), sha256, not_read: watched.unread() }, `${place.file}: ${file.events().toLocaleString("en")} events, sha256 of its lines ${sha256}`);
        return 0;
      });
    } finally {
      interruption.end();
    }
  },
});

export const exportEvents: Command = exportWith(listenForInterruption);

const typed = ({ values, positionals }: ParsedArguments, isWanted: (name: string) => boolean): string =>
  commandLine("export", Object.fromEntries(Object.entries(values).filter(([name]) => isWanted(name))), positionals);

function refused<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    return asSetupError(error);
  }
}

function asSetupError(error: unknown): never {
  if (error instanceof AppError) throw new SetupError(error.message, "inferctl export --help", { exitCode: EXIT_USAGE, cause: error });
  const { code, path } = error as NodeJS.ErrnoException;
  if (error instanceof Error && code !== undefined) throw new SetupError(`${path ?? "the export"} cannot be written: ${code}`, "Give --out a file in a folder that you may write to, with room for it.", { exitCode: EXIT_USAGE, cause: error });
  throw error;
}
