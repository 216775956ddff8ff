/**
 * The guard of the semantic cache: the form of a question. Two questions whose forms are equal have the same answer, and whatever
 * is in doubt makes two forms. So numbers, negations, names, the order of words and the language agree by construction: all words
 * stay as they are and where they are, but for those that `questionWords.ts` lists (ADR 0019). Pure.
 */
import { LANGUAGES, type LanguageRules, NAMES } from "./questionWords.ts";

/** Of the forms. What was evaluated for another version says nothing of this one, and answers under it are not found. */
export const GUARD_VERSION = 1;

/** What is longer is a document rather than a question. */
const MOST_LENGTH = 500;
/** Mark what was taken out. */
const [OPEN, CLOSE] = ["\uE000", "\uE001"];

/** `null`: no form, so no answer but its own. */
export function questionForm(text: string): string | null {
  const asked = text.normalize("NFC").replaceAll(/[‘’]/g, "'").trim();
  if (asked === "" || asked.length > MOST_LENGTH || /[\r\n\uE000\uE001]/.test(asked)) return null;
  const { rest, taken } = takeOut(asked.replace(/^(?:quick question: *|((?:please )?tell me): *)/i, (_all, order?: string) => (order === undefined ? "" : `${order} `)).replaceAll(/(?<!\S)[¿¡]/g, ""));
  const [, said = rest, marks = ""] = ENDING.exec(rest) ?? [];
  const tokens = tokensOf(said);
  const [name, rules] = languageOf(tokens);
  const { form, isQuestion } = rules === null ? { form: tokens.join(" "), isQuestion: false } : formIn(rules, tokens);
  return `${name} ${form}${marks.includes("?") && !isQuestion ? " ?" : ""}`.replaceAll(/\uE000(\d+)\uE001/g, (_all, place: string) => taken[Number(place)] ?? "");
}

/** Marks after what cannot have them as part of itself: not of 5!, n! or the pattern .*? */
const ENDING = /^(.*(?:[\p{L}\p{N}%)\uE001](?=[.…]*$|\s*\?+$)|\p{L}{3}(?=\s*[?!]+$)))([.…]*|\s*[?!]+)$/u;

/** What is quoted, and what follows a colon, is matter: not a word of it may be read otherwise. */
function takeOut(asked: string): { readonly rest: string; readonly taken: readonly string[] } {
  const taken: string[] = [];
  return { rest: asked.replaceAll(MATTER, (matter) => `${OPEN}${taken.push(matter) - 1}${CLOSE}`), taken };
}
/** From a quotation mark to the next one, or to the end; from a colon to the end. */
const MATTER = /["“„«`].*?(?:["”“»`]|$)|(?<![\p{L}\p{N}])'.*|:.*/gu;

/** Words, and marks between them; what is neither stays whole, with its capitals. */
function tokensOf(text: string): string[] {
  return text.split(/\s+/u).flatMap((token) => {
    const [, word = token, mark = ""] = /^(.*[\p{L}\p{N}%\uE001])([,;.!?:])$/u.exec(token) ?? [];
    return mark === "" || (mark === "." && word.includes(".")) ? [token] : [word, mark];
  });
}

/** That of most of the words that it knows; none where two have as many. */
function languageOf(tokens: readonly string[]): readonly [string, LanguageRules | null] {
  let [name, most, isTied] = ["", 0, false];
  for (const [language, { known, words }] of Object.entries(LANGUAGES)) {
    const count = tokens.filter((token) => known.has(token.toLowerCase()) || Object.hasOwn(words, token.toLowerCase())).length;
    if (count > most) [name, most, isTied] = [language, count, false];
    else if (count === most) isTied = true;
  }
  return isTied || most === 0 ? ["-", null] : [name, LANGUAGES[name] ?? null];
}

const MARK = /^[,;.!?:]$/;
/** Before or after one of these, a small i is I, and neither iodine nor a root of -1. */
const BESIDE_I = /^(?:do|can|should|would|could|must|may|did|will|have|am|want|was|need)$/;
function formIn({ known, asking, ofWords, words, hasThousandsCommas, aliases, thanks, frames }: LanguageRules, tokens: readonly string[]): { readonly form: string; readonly isQuestion: boolean } {
  const isOfWords = ofWords.test(tokens.join(" "));
  const read = tokens.flatMap((token, i) => {
    const lower = token.toLowerCase();
    const isFirst = i === 0 || MARK.test(tokens[i - 1] ?? "");
    if (token === "I" && [tokens[i - 1], tokens[i + 1]].some((beside) => BESIDE_I.test(beside?.toLowerCase() ?? ""))) return ["i"];
    const word = (isFirst && isCapitalised(token) && (known.has(lower) || (lower.includes("'") && Object.hasOwn(words, lower)))) || NAMES.has(lower) ? lower : token;
    return isOfWords ? [word] : readWord(word.replace(/^I'/, "i'"), { words, hasThousandsCommas });
  });
  const replaced = (text: string, by: LanguageRules["frames"]) => by.reduce((form, [from, to]) => form.replace(from, to), text);
  const whole = read.join(" ");
  const begins = (text: string) => asking.has(text.split(" ", 1)[0] ?? "");
  const asks = begins(whole.replace(OPENING, ""));
  const named = isOfWords ? whole : replaced(whole, aliases);
  const form = replaced(asks && !isOfWords ? named.replace(thanks, "") : named, frames);
  return { form, isQuestion: asks || begins(form) };
}
/** A greeting, of one or two words. */
const OPENING = /^\S+(?: \S+)? [,.!] /;

/** A single capital may be a name of its own: A, I. */
const isCapitalised = (token: string): boolean => token.length > 1 && token.slice(1) === token.slice(1).toLowerCase();

/** A number with its unit is written in two ways, and one with commas where the language groups thousands by them. */
function readWord(word: string, { words, hasThousandsCommas }: Pick<LanguageRules, "words" | "hasThousandsCommas">): string[] {
  if (Object.hasOwn(words, word)) return (words[word] ?? word).split(" ");
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(km|kg|cm|mm|%)$/.exec(word) ?? [];
  if (number !== undefined) return [number, unit === "%" ? "percent" : unit];
  return [hasThousandsCommas && /^\d{1,3}(?:,\d{3})+$/.test(word) ? word.replaceAll(",", "") : word];
}
