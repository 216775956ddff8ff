/**
 * The guard of the semantic cache: the form of a question. Two questions whose forms are equal have the same answer, and whatever
 * is in doubt makes two forms. A text is its own form, letter by letter, unless it is plain, in a language of `questionWords.ts`,
 * begins as a listed question or order and is not about words; then the listed parts of it are rewritten, where the lists say, and
 * everything else stays as it is and where it is (ADR 0019). Pure.
 */
import { LANGUAGES, type LanguageRules, OF_WORDS, POINTING } from "./questionWords.ts";

/** Of the forms. What was evaluated for another version says nothing of this one, and answers under it are not found. */
export const GUARD_VERSION = 2;

/** What is longer is a document rather than a question. */
const MOST_LENGTH = 500;

/** `null`: no form, so no answer but its own. */
export function questionForm(text: string): string | null {
  const asked = text.trim();
  if (asked === "" || asked.length > MOST_LENGTH || /[^\S ]| {2}|\p{C}/u.test(asked) || text.normalize("NFC") !== text) return null;
  return rewritten(asked) ?? `= ${text}`;
}

/** The guard has read it; otherwise it is the text, letter by letter. */
export const isRewritten = (form: string): boolean => !form.startsWith("=");

/** `null`: nothing of it may be. */
function rewritten(asked: string): string | null {
  const text = asked.replaceAll(/(?<=\p{L})’(?=\p{L})/gu, "'").replace(/^(\p{L}+, )?¿(?=\p{L}.*\?)/u, "$1");
  if (!text.split(" ").every((token, i, { length }) => PLAIN.test(token) || (token === "?" && i === length - 1))) return null;
  const [name, rules] = languageOf(text);
  if (rules === null) return null;
  const begun = text.replace(/^\p{Lu}[\p{Ll}'-]+/u, (first) => (rules.starts.has(first.toLowerCase()) ? first.toLowerCase() : first));
  const asks = begun.replace(rules.closing, "").replace(rules.opening, "");
  const request = REQUEST.exec(asks)?.[0] ?? "";
  if (OF_WORDS.some((words) => words.test(asks.slice(request.length)))) return null;
  const core = POINTING.test(asks) ? begun : asks;
  const said = withoutMark(core, rules);
  return said === null ? null : `${name} ${rules.frames.reduce((form, [from, to]) => (typeof to === "string" ? form.replace(from, to) : form.replace(from, to)), said)}`;
}

/** A word or a number, with a mark after it. Whatever has other marks in it may be code, a formula or a quotation. */
const PLAIN = /^(?:\p{Script=Latin}+(?:['-]\p{Script=Latin}+)*|[\p{Script=Latin}\d]+|\d+(?:[.,]\d+)*%?)[,.?!]?$/u;

/** The listed beginnings have words that would be of words elsewhere. */
const REQUEST = /^(?:(?:(?:can|could|would|will) you )?(?:please )?(?:tell me|write|name)(?= )|who wrote(?= )|sag mir|kannst du mir sagen|können Sie mir sagen|(?:peux-tu|pouvez-vous) me dire)/;

/** A question without its one mark, an order without its full stop. `null`: it is neither, or ends otherwise. */
function withoutMark(text: string, { asks, orders }: LanguageRules): string | null {
  const [, said = "", mark = ""] = /^(.*[\p{L}\p{N}%])( ?\?|[.!]?)$/u.exec(text) ?? [];
  if (orders.test(said)) return mark === "" || mark === "." || (mark === "!" && / \p{Ll}{3,}$/u.test(said)) ? said : `${said} ${mark.trim()}`;
  return asks.test(said) && (mark === "" ? !TWICE.test(said) : mark.endsWith("?")) ? said : null;
}

/** What is mine is yours: without its mark, that may be no question. */
const TWICE = /(?<!\p{L})(?:is|are|was|were|ist|sind|war|waren|est|sont|es|son)(?!\p{L}).*(?<!\p{L})(?:is|are|was|were|ist|sind|war|waren|est|sont|es|son)(?!\p{L})/u;

/** That of most of the words that it knows; none where two have as many. */
function languageOf(text: string): readonly [string, LanguageRules | null] {
  const words = text.toLowerCase().split(/[ ,.?!]+/);
  let [name, most, isTied] = ["", 0, false];
  for (const [language, { known }] of Object.entries(LANGUAGES)) {
    const count = words.filter((word) => known.has(word)).length;
    if (count > most) [name, most, isTied] = [language, count, false];
    else if (count === most) isTied = true;
  }
  return isTied || most === 0 ? ["-", null] : [name, LANGUAGES[name] ?? null];
}
