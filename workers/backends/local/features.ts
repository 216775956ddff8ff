/**
 * Text to hashed features, in one pass and without making strings: each feature is an index into a table of weights,
 * and counts once however often it occurs. What is read and which features are made is the model's recipe; this is
 * also what makes one model dearer than another.
 */
import { mix } from "./hash.ts";

export interface FeatureRecipe {
  /** Characters of the input that are read; the rest is not looked at. */
  readonly max_characters: number;
  /** The table of weights has `2 ** table_bits` places. */
  readonly table_bits: number;
  /** 1: single words. 2: also pairs of neighbours. */
  readonly word_pairs: boolean;
  /** Lengths of the runs of characters, across words: `[3, 5]` is 3, 4 and 5. `null`: none. */
  readonly character_runs: readonly [number, number] | null;
  /** Words in capitals and runs of punctuation ("!!!", "$$$") are features too. */
  readonly shapes: boolean;
}

export interface FeatureReader {
  /** `visit` gets each distinct feature of `text` once. */
  read(text: string, visit: (index: number) => void): void;
}

// Kinds of feature start from different values, so that equal texts of different kinds do not meet in the table.
const WORD = 0x811c9dc5;
const SUBJECT_WORD = 0x2f0b4c47;
const PAIR = 0x51ed270b;
const CAPITALS = 0x7a3d9f11;
const PUNCTUATION = 0x1b56c4e9;
const RUN = 0x3c6ef372;

const SUBJECT = "Subject:";
const DIGIT = 48;
const SPACE = 32;

/** Not for use by two readings at once: it keeps one table of what the current text already had. */
export function makeFeatureReader(recipe: FeatureRecipe): FeatureReader {
  const seenIn = new Uint32Array(2 ** recipe.table_bits);
  const shift = 32 - recipe.table_bits;
  let reading = 0;
  return {
    read(text, visit) {
      reading = (reading + 1) >>> 0;
      if (reading === 0) {
        seenIn.fill(0);
        reading = 1;
      }
      const mark = reading;
      const emit = (hash: number): void => {
        const index = mix(hash) >>> shift;
        if (seenIn[index] === mark) return;
        seenIn[index] = mark;
        visit(index);
      };
      const end = Math.min(text.length, recipe.max_characters);
      readWords(text, end, recipe, emit);
      if (recipe.character_runs !== null) readRuns(text, end, recipe.character_runs, emit);
    },
  };
}

/** Words in the whole text: letters, digits and apostrophes; each character beyond Latin-1 counts as a letter. */
export function countWords(text: string): number {
  let count = 0;
  let isInWord = false;
  for (let i = 0; i < text.length; i += 1) {
    const isWord = isWordCharacter(text.charCodeAt(i));
    if (isWord && !isInWord) count += 1;
    isInWord = isWord;
  }
  return count;
}

function readWords(text: string, end: number, recipe: FeatureRecipe, emit: (hash: number) => void): void {
  const hasSubject = text.startsWith(SUBJECT);
  const subjectEnd = hasSubject ? text.indexOf("\n") : 0;
  const lastOfSubject = subjectEnd === -1 ? end : subjectEnd;
  let previous = 0;
  let i = hasSubject ? SUBJECT.length : 0;
  while (i < end) {
    const code = text.charCodeAt(i);
    if (!isWordCharacter(code)) {
      i = recipe.shapes && isPunctuation(code) ? readPunctuation(text, i, end, emit) : i + 1;
      continue;
    }
    const start = i;
    let hash = WORD;
    let capitals = 0;
    for (let raw = code; i < end && isWordCharacter(raw); raw = text.charCodeAt(i)) {
      if (raw >= 65 && raw <= 90) capitals += 1;
      hash = Math.imul(hash ^ fold(raw), 0x01000193);
      i += 1;
    }
    emit(hash);
    if (start < lastOfSubject) emit(hash ^ SUBJECT_WORD);
    if (recipe.word_pairs) emit(Math.imul(previous ^ PAIR, 31) + hash);
    if (recipe.shapes && capitals > 2 && capitals === i - start) emit(hash ^ CAPITALS);
    previous = hash;
  }
}

/** A run of one sign, by its length up to 3. Gives where it ends. */
function readPunctuation(text: string, start: number, end: number, emit: (hash: number) => void): number {
  const code = text.charCodeAt(start);
  let i = start + 1;
  while (i < end && text.charCodeAt(i) === code) i += 1;
  emit(Math.imul(PUNCTUATION ^ code, 0x01000193) + Math.min(3, i - start));
  return i;
}

function readRuns(text: string, end: number, [shortest, longest]: readonly [number, number], emit: (hash: number) => void): void {
  // Folded once: runs overlap, so each character is needed `longest` times.
  const folded = new Uint16Array(end);
  let length = 0;
  for (let i = 0; i < end; i += 1) {
    const code = fold(text.charCodeAt(i));
    if (code !== SPACE || folded[length - 1] !== SPACE) folded[length++] = code;
  }
  for (let i = 0; i < length; i += 1) {
    let hash = RUN;
    const last = Math.min(longest, length - i);
    for (let j = 0; j < last; j += 1) {
      hash = Math.imul(hash ^ (folded[i + j] ?? 0), 0x01000193);
      if (j + 1 >= shortest) emit(hash + j);
    }
  }
}

const isWordCharacter = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57) || code === 39 || code > 160;

const isPunctuation = (code: number): boolean => code > SPACE && code < 127;

/** Small letters, one digit for all, one space for all that separates. */
function fold(code: number): number {
  if (code >= 65 && code <= 90) return code + 32;
  if (code >= 48 && code <= 57) return DIGIT;
  return code <= SPACE || code === 160 ? SPACE : code;
}
