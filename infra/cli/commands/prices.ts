import { SetupError } from "#infra/embedded/setupError.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import type { PriceFigures, PriceFile } from "#shared/contracts/prices.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { type CheckedPrice, checkPrices } from "#shared/prices/checkPrices.ts";
import { currentPrice, lastEnded } from "#shared/prices/lookUp.ts";
import { withBookPrices } from "#shared/prices/withBookPrices.ts";
import { readPriceFile, readYaml, today } from "#shared/runtime/loadConfig.ts";

import { type CliContext, type Command, type ParsedArguments, sayer, wrongUse } from "../command.ts";
import { textTable } from "../textTable.ts";

export const prices: Command = {
  summary: "What models cost: the price book, and whether the prices that the tiers are charged at are known, in force and plausible.",
  usage: "check [--tiers <file>] [--prices <file>] | list [--model <part of a name>] [--prices <file>]",
  details: [
    "check      each tier, replica and embedder of the tier file: its price, where it comes from, since when. A problem is a price that is unknown, over or",
    "           not yet in force, outside of what hosted models charge without a reason (\"unusual\"), or inline and more than 20 % off the",
    "           price book's. Warnings: output cheaper than input, and what was read in the price book's source more than 180 days ago",
    "list       the price book as of today; what is over or not yet in force says so",
    "--tiers    default: INFER_TIERS_FILE, or else infra/config/tiers.yaml",
    "--prices   default: INFER_PRICES_FILE, or else infra/config/prices.yaml",
    "--json     for programs",
    "Exit code of check: 1 with a problem, 0 with warnings alone. How the book is extended: docs/prices.md",
  ],
  example: "inferctl prices check --tiers my-tiers.yaml",
  options: { json: { type: "boolean" }, tiers: { type: "string" }, prices: { type: "string" }, model: { type: "string" } },
  maxPositionals: 1,
  verbs: ["check", "list"],
  run: (given, context) => {
    const { values, positionals: [verb] } = given;
    const foreign = verb === "list" ? "tiers" : verb === "check" ? "model" : undefined;
    if (foreign !== undefined && values[foreign] !== undefined) throw wrongUse("prices", `--${foreign} goes with ${verb === "list" ? "check" : "list"} alone`);
    switch (verb ?? "") {
      case "check": return Promise.resolve(check(given, context));
      case "list": return Promise.resolve(list(given, context));
      default: throw wrongUse("prices", verb === undefined ? "say what to do with the prices" : `there is no "prices ${verb}"`);
    }
  },
};

/** An option, or else the variable, or else the file that comes with the project. */
export function fileOf({ values }: Pick<ParsedArguments, "values">, { environment }: Pick<CliContext, "environment">, option: "tiers" | "prices"): string {
  const said = values[option];
  const set = environment[option === "tiers" ? "INFER_TIERS_FILE" : "INFER_PRICES_FILE"];
  return typeof said === "string" ? said : set !== undefined && set !== "" ? set : `infra/config/${option}.yaml`;
}

function bookIn(file: string): PriceFile {
  const read = readPriceFile(file);
  if ("problems" in read) throw unreadable("price book", file, read.problems);
  return read.book;
}

const unreadable = (what: string, file: string, problems: readonly string[]): SetupError =>
  new SetupError(`the ${what} ${file} cannot be used:\n${problems.map((problem) => `  ${problem}`).join("\n")}`, "Correct it, or name another one; docs/prices.md says how it looks", { exitCode: 1 });

interface Files { readonly tiers_file: string; readonly prices_file: string }
/** Each price that the tier file is charged at, on that day. Throws a `SetupError` where a file cannot be used. */
export function checkedPrices(files: Files, day: string): CheckedPrice[] {
  const book = bookIn(files.prices_file);
  const raw = readYaml(files.tiers_file, "INFER_TIERS_FILE");
  if ("problems" in raw) throw unreadable("tier file", files.tiers_file, raw.problems);
  const checked = checkPrices(raw.value, book, day);
  const filled = withBookPrices(raw.value, book, { booksName: files.prices_file, day });
  const parsed = filled.problems.length > 0 ? undefined : TierFile.safeParse(filled.file);
  if (parsed?.success === false) throw unreadable("tier file", files.tiers_file, issueLines(parsed.error));
  return checked;
}

function check(given: ParsedArguments, context: CliContext): number {
  const files = { tiers_file: fileOf(given, context, "tiers"), prices_file: fileOf(given, context, "prices") };
  const day = today();
  const checked = checkedPrices(files, day);
  const count = (level: "problem" | "warning") => checked.flatMap(({ findings }) => findings).filter((finding) => finding.level === level).length;
  const counts = { problems: count("problem"), warnings: count("warning") };
  sayer(given, context)({ ...files, day, ...counts, prices: checked }, describe(checked, { ...files, day, ...counts }));
  return counts.problems > 0 ? 1 : 0;
}

function describe(checked: readonly CheckedPrice[], { tiers_file, prices_file, day, problems, warnings }: { readonly tiers_file: string; readonly prices_file: string; readonly day: string; readonly problems: number; readonly warnings: number }): string {
  const rows = checked.flatMap(({ owner, model, figures, from, book_entry, valid_from, valid_until }) => [
    [owner, model ?? "-", ...cells(figures), from === "book" && book_entry !== null ? `book ${book_entry}` : from, since(valid_from, valid_until)],
    ...rowsAbove(figures, 2, 2),
  ]);
  const found = checked.flatMap(({ owner, findings }) => findings.map(({ level, kind, message }) => `${level}: ${owner}: ${kind.replaceAll("_", " ")}: ${message}`));
  return [
    `${tiers_file} with ${prices_file}, as of ${day}; USD per million tokens`, "",
    textTable(["for", "model", "input", "output", "cached", "written", "reasoning", "request", "from", "since"], rows), "",
    ...found, ...(found.length === 0 ? [] : [""]),
    problems + warnings === 0 ? "nothing to complain about" : `${problems} ${problems === 1 ? "problem" : "problems"}, ${warnings} ${warnings === 1 ? "warning" : "warnings"}`,
  ].join("\n");
}

function cells(figures: PriceFigures | null): string[] {
  if (figures === null) return ["-", "-", "-", "-", "-", "-"];
  const { usd_per_million_input_tokens, usd_per_million_output_tokens, usd_per_million_cached_input_tokens, usd_per_million_cache_write_tokens, usd_per_million_reasoning_output_tokens, usd_per_request } = figures;
  return [usd_per_million_input_tokens, usd_per_million_output_tokens, usd_per_million_cached_input_tokens, usd_per_million_cache_write_tokens, usd_per_million_reasoning_output_tokens, usd_per_request].map((usd) => (usd === undefined ? "-" : String(usd)));
}

/** A row for each length of prompt from which on it costs more; `before` and `after` are empty cells around the figures. */
const rowsAbove = (figures: PriceFigures | null, before: number, after: number): string[][] =>
  (figures?.above ?? []).map(({ input_tokens, ...step }) => [...Array.from({ length: before - 1 }, () => ""), `  above ${input_tokens.toLocaleString("en")}`, ...cells(step).slice(0, -1), "", ...Array.from({ length: after }, () => "")]);

const since = (from: string | null, until: string | null): string => `${from ?? "-"}${until === null ? "" : ` until ${until}`}`;

function list(given: ParsedArguments, context: CliContext): number {
  const file = fileOf(given, context, "prices");
  const part = given.values["model"];
  const day = today();
  const models = bookIn(file).models.filter(({ provider, model, aliases }) => typeof part !== "string" || [model, ...aliases].some((name) => `${provider}/${name}`.includes(part)));
  const current = models.map((model) => ({ provider: model.provider, model: model.model, aliases: model.aliases, price: currentPrice(model, day) ?? null, ended: lastEnded(model, day)?.valid_until ?? null, all_prices: model.prices }));
  const rows = current.flatMap(({ provider, model, price, ended }) => [
    [`${provider}/${model}`, ...cells(price), price === null ? (ended === null ? "not yet in force" : `over since ${ended}`) : since(price.valid_from, price.valid_until ?? null), price?.read_on ?? "-"],
    ...rowsAbove(price, 1, 2),
  ]);
  const table = `${file}, as of ${day}; USD per million tokens. Sources: --json\n\n${textTable(["model", "input", "output", "cached", "written", "reasoning", "request", "since", "read"], rows)}`;
  sayer(given, context)({ prices_file: file, day, models: current }, rows.length === 0 ? `${file} has no model of that name` : table);
  return 0;
}
