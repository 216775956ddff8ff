/**
 * What a request's `input` is for a mail: `Subject: <subject>`, a blank line, and the text that a reader sees.
 *
 * The mails were collected from a few mailing lists and one person's spam, so much around them gives the label away
 * without being about the mail: the headers, a list's tag and footer (one list holds nothing but spam), the sponsor
 * lines of a list host, addresses, the frame of a news feed. All of that is taken out, so that a model has to read.
 * HTML is reduced to its text for the same reason. "Re:" and quoted lines stay: they are part of what was written.
 */
import { decodeHeader, parseEntity, readableText } from "./mime.ts";

export function mailInput(raw: string): string {
  const mail = parseEntity(raw);
  const subject = cleanSubject(decodeHeader(mail.headers.get("subject") ?? ""));
  return `Subject: ${subject}\n\n${cleanBody(readableText(mail))}`;
}

/** Lengths are bounded, so that a long run of letters is not searched again from each of them. */
const ADDRESS = /(?<![\w.+-])(?:mailto:)?[\w.+%=*'-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){0,5}/gi;
/** Hosts and (made unreadable) names of the people who collected the mails. */
const COLLECTOR = /(?:[\w-]{1,64}\.){0,4}(?:taint\.org|netnoteinc\.com|jmason\.org|slashnull\.org)\b/gi;
const COLLECTOR_NAME = /\b(?:[zy]{4,}(?:teana)?|jmason|jm)\b,?/gi;

/** Without list tags such as "[ILUG]" or "[Razor-users]", and without the "***SPAM***" that a filter put in front. */
export function cleanSubject(subject: string): string {
  return subject
    .replace(/\*+ ?spam ?\*+/gi, " ")
    .replace(/\[[A-Za-z][\w .:-]{1,24}\]/g, " ")
    .replace(ADDRESS, "user@example.com")
    .replace(COLLECTOR_NAME, "")
    .replace(/[\s\u0000-\u001f]+/g, " ")
    .replace(/^(?:re: ?){2,}/i, "Re: ")
    .trim();
}

/** Lines that a list or its host added: the first line of each kind of block, and how many more it may have. */
const ADDED: readonly { readonly first: RegExp; readonly more: number }[] = [
  { first: /^(?:irish linux users' group|to unsubscribe from this group, send|your use of yahoo! groups)/i, more: 3 },
  { first: /^this (?:sf\.net|sourceforge)\b.*sponsored/i, more: 6 },
  { first: /^-{5,} yahoo! groups sponsor/i, more: 6 },
  { first: /mailman\/(?:listinfo|private)|lists\/listinfo|list maintainer:|majordomo@|^\S+ mailing list$|mailing list <?\S+@/i, more: 0 },
  // A feed reader's frame around a news item.
  { first: /^(?:url|date|supplied): +(?:https?:\S+|not supplied|\d{4}-\d\d-\d\d\S*)/i, more: 0 },
];
/** A rule that opens or closes such a block. Rules say nothing else, so all of them go. */
const RULE = /^(?:[_=~*-]{10,}|--)$/;

export function cleanBody(body: string): string {
  const kept: string[] = [];
  let skip = 0;
  for (const line of body.replace(/\u0000/g, "").split("\n")) {
    const bare = line.replace(/^[>\s]+/, "").trimEnd();
    skip = bare === "" ? 0 : Math.max(0, skip - 1);
    const block = ADDED.find(({ first }) => first.test(bare));
    if (block !== undefined) skip = block.more + 1;
    if (skip === 0 && !RULE.test(bare)) kept.push(line.trimEnd());
  }
  const text = kept.join("\n").replace(/\n{3,}/g, "\n\n").trim();
  return text.replace(ADDRESS, "user@example.com").replace(COLLECTOR, "example.com").replace(COLLECTOR_NAME, "");
}
