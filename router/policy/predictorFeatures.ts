/**
 * What the text of a query says about how hard it is, in tens of microseconds and without a model. Few features, each of
 * which pointed the same way in most of the outcome logs that it was tried on. Vocabulary and topics are not among them:
 * fitted on some data sets they did not help on others. Pure.
 *
 * The question is told from its choices and from what is around it (instructions, solved examples, "Answer:"), so that
 * a prompt's format changes the features little.
 */

export const PREDICTOR_FEATURES = ["length", "conditions", "named_things", "numeric_choices", "repeated_choices", "long_choice_words"] as const;
export type PredictorFeature = (typeof PREDICTOR_FEATURES)[number];
/**
 * - `length`: ln(1 + characters of the question and of a choice of mean length), in [0, 9].
 * - `conditions`: ln(1 + words like "if", "unless", "instead"), in [0, 7.9]. They make steps.
 * - `named_things`: ln(1 + capitalised words within a sentence), in [0, 7.9].
 * - `numeric_choices`: share of the choices that are numbers, in [0, 1]. The answer has to be computed.
 * - `repeated_choices`: 1 less distinct words over words of all choices, in [0, 1). "True, False" against "False, True":
 *   several questions in one.
 * - `long_choice_words`: share of words of nine letters or more in the choices, in [0, 1). Terms: knowledge, not steps.
 *
 * Those of choices are 0 without choices.
 */
export type PredictorFeatures = Readonly<Record<PredictorFeature, number>>;

/** Of a longer query only the end is read: the question follows its context and its examples. */
const MAX_READ_CHARS = 8_000;
const CONDITION = /\b(?:if|unless|then|when|instead|however|but|except|otherwise|assuming|suppose|given|let|whether|provided)\b/gi;
const NAMED = /[a-z,] (?=[A-Z][a-z])/g;
const WORD = /[a-z]+|\d+(?:[.,]\d+)*/g;
const NUMBER = /^[^a-z]*\d/i;
const MAX_NUMBER_CHARS = 40;
const LONG_WORD_CHARS = 9;
/** Keeps a share of very few words near 0. */
const FEW_WORDS = 5;

export function predictorFeatures(query: string): PredictorFeatures {
  const { question, choices } = readQuestion(query);
  const words = choices.flatMap((choice) => choice.toLowerCase().match(WORD) ?? []);
  return {
    length: Math.log1p(question.length + meanLength(choices)),
    conditions: Math.log1p(countOf(CONDITION, question)),
    named_things: Math.log1p(countOf(NAMED, question)),
    numeric_choices: choices.filter((choice) => choice.length < MAX_NUMBER_CHARS && NUMBER.test(choice)).length / Math.max(1, choices.length),
    repeated_choices: words.length === 0 ? 0 : 1 - new Set(words).size / words.length,
    long_choice_words: words.filter(({ length }) => length >= LONG_WORD_CHARS).length / (words.length + FEW_WORDS),
  };
}

const countOf = (pattern: RegExp, text: string): number => text.match(pattern)?.length ?? 0;
const meanLength = (texts: readonly string[]): number => texts.reduce((sum, { length }) => sum + length, 0) / Math.max(1, texts.length);

export interface Question {
  readonly question: string;
  /** Without their letters; none, or at least two. */
  readonly choices: readonly string[];
}
const FIRST_CHOICE = /(?:^|\n)[ \t]*\(?A[.:)][ \t]/g;
const NEXT_CHOICE = /\n[ \t]*\(?[B-Z][.:)](?=[ \t\n]|$)/;
/** "Answer:", "Options:", "Step-By-Step Reasoning:" in a line of its own, at the end. */
const CUE = /\n[ \t]*(?:[a-z-]+ ){0,2}(?:answer|choices|options|reasoning|response|solution):[ \t]*$/i;
/** What ends the instructions or a solved example. */
const QUESTION_STARTS = /(?:^|\n)(?:Question|Problem|Q):|\n(?:Answer|A):[^\n]*\n[ \t]*(?=\n)/g;

/** The last question of a prompt, and its lettered choices ("A.", "A:", "A)" or "(A)", each in a line of its own). */
export function readQuestion(query: string): Question {
  const text = query.slice(-MAX_READ_CHARS).trimEnd();
  const at = lastOf(text, FIRST_CHOICE)?.start ?? -1;
  const [first = "", ...others] = at === -1 ? [] : text.slice(at).replace(CUE, "").split(NEXT_CHOICE);
  const choices = others.length === 0 ? [] : [first.replace(FIRST_CHOICE, ""), ...others].map((choice) => choice.trim());
  const before = (others.length === 0 ? text : text.slice(0, at)).trimEnd().replace(CUE, "");
  return { question: before.slice(lastOf(before, QUESTION_STARTS)?.end ?? 0).trim(), choices };
}

function lastOf(text: string, pattern: RegExp): { start: number; end: number } | undefined {
  const match = [...text.matchAll(pattern)].findLast(({ index, 0: { length } }) => index + length < text.length);
  return match === undefined ? undefined : { start: match.index, end: match.index + match[0].length };
}
