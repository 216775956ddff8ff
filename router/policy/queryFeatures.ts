/** What a query looks like, in tens of microseconds and without any model: what a routing model may read before an answer. Pure. */
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import { WORD_PLACES } from "#shared/contracts/routingModel.ts";

const NEGATION = /following|except|not /i;
const ORDINARY_LOG_LENGTH = 5.5;
const MANY_DIGITS = 20;
/** Instructions come first, and a long text must not cost more. */
const BEGINNING = 1_500;

export function queryFeatures(query: string): QueryFeatures {
  const beginning = query.slice(0, BEGINNING);
  return {
    log_length: Math.log(Math.max(1, query.length)) - ORDINARY_LOG_LENGTH,
    digits: Math.min(1, countDigits(query) / MANY_DIGITS),
    negation: NEGATION.test(beginning) ? 1 : 0,
    words: hashedWords(beginning),
  };
}

function countDigits(query: string): number {
  let count = 0;
  for (let i = 0; i < query.length && count < MANY_DIGITS; i++) {
    const code = query.charCodeAt(i);
    if (code >= 48 && code <= 57) count++;
  }
  return count;
}

/** Runs of letters in lower case, by FNV-1a; one bit more is the sign, so that words that share a place cancel out. */
function hashedWords(text: string): number[] {
  const seen = new Set<number>();
  let hash = 0;
  for (let i = 0; i <= text.length; i++) {
    const letter = lowerLetter(text.charCodeAt(i));
    if (letter === 0) {
      if (hash !== 0) seen.add(hash);
      hash = 0;
      continue;
    }
    hash = Math.imul((hash === 0 ? 0x811c9dc5 : hash) ^ letter, 0x01000193);
  }
  return Array.from(seen, (word) => {
    const place = 1 + ((word >>> 8) % WORD_PLACES);
    return (word & 1) === 0 ? place : -place;
  });
}

/** 0 for what is not a letter: also NaN, past the end. Other scripts than ASCII count letter by letter. */
function lowerLetter(code: number): number {
  if (code >= 97 && code <= 122) return code;
  if (code >= 65 && code <= 90) return code + 32;
  return code > 127 ? code : 0;
}
