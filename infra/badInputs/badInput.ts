/**
 * What may come in that should not, and what must come of it: the data of the tests beside this file, and the rows of docs/bad-inputs.md.
 * Ids are those of a closed list (`ids.ts`), so that no input is forgotten.
 */

/** A test that exists: its file, and text that is in it, of the title or the data of the test. */
export interface TestReference {
  readonly file: string;
  readonly text: string;
}
export interface BadInput {
  readonly id: string;
  readonly input: string;
  readonly expected: string;
  readonly tests: readonly TestReference[];
  /** Where one might expect something else: why it is so here. */
  readonly note?: string;
}

export const test = (file: string, text: string): TestReference => ({ file, text });

/** In everything that a test sends: what a log or a metric holds of it has leaked. */
export const CANARY = "canary-5e0b";
