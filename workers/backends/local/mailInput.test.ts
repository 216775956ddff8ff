import { expect, it } from "vitest";

import { cleanBody, cleanSubject, mailInput } from "./mailInput.ts";

const mail = (headers: string, body: string) => `Received: from lists.example.org\nList-Id: <razor-users>\n${headers}\n\n${body}`;

it("is the subject, a blank line and the text, without any other header", () => {
  expect(mailInput(mail("Subject: Lunch\nX-Spam-Status: Yes", "At one?\n"))).toBe("Subject: Lunch\n\nAt one?");
});

it.each([
  ["plain text before HTML", 'Content-Type: multipart/alternative; boundary="b"', "--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: text/html\n\n<b>rich</b>\n--b--", "plain"],
  ["HTML as its text", "Content-Type: text/html", "<html><style>p{}</style><p>Caf&eacute; &amp; 5 &lt; 6</p><p>now</p>", "Caf&eacute; & 5 < 6\n\nnow"],
  ["quoted-printable", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", "caf=C3=A9 and a long=\n line", "café and a long line"],
  ["base64", "Content-Type: text/plain\nContent-Transfer-Encoding: base64", Buffer.from("hidden words").toString("base64"), "hidden words"],
  ["no attachment", 'Content-Type: multipart/mixed; boundary="b"', "--b\n\ntext\n--b\nContent-Type: application/pdf\n\n%PDF\n--b--", "text"],
  ["a broken boundary", 'Content-Type: multipart/mixed; boundary="b"', "only <i>this</i>", "only this"],
])("reads %s", (_name, headers, body, text) => {
  expect(mailInput(mail(`Subject: s\n${headers}`, body))).toBe(`Subject: s\n\n${text}`);
});

it("reads an encoded subject", () => {
  expect(mailInput("Subject: =?utf-8?B?SGVsbG8=?= =?iso-8859-1?Q?_w=F6rld?=\n\n")).toBe("Subject: Hello wörld\n\n");
});

it.each([["[ILUG] Re: disks", "Re: disks"], ["***SPAM*** Win", "Win"], ["Re: Re: re: a", "Re: a"], ["to bob@example.org now", "to user@example.com now"]])("takes from the subject %s what gives the label away", (from, to) => {
  expect(cleanSubject(from)).toBe(to);
});

it.each([
  ["a Mailman footer", "text\n\n_______________________________________________\nSpamassassin-Sightings mailing list\nSpamassassin-Sightings@lists.sourceforge.net\nhttps://lists.sourceforge.net/lists/listinfo/spamassassin-sightings"],
  ["a quoted footer", "text\n\n> -- \n> Irish Linux Users' Group: ilug@linux.ie\n> http://www.linux.ie/mailman/listinfo/ilug for (un)subscription information.\n> List maintainer: listmaster@linux.ie"],
  ["a sponsor", "text\n\n-------------------------------------------------------\nThis sf.net email is sponsored by:ThinkGeek\nWelcome to geek heaven.\nhttp://thinkgeek.com/sf"],
  ["a news feed's frame", "URL: http://boingboing.net/#1\nDate: Not supplied\n\ntext"],
])("takes out %s", (_name, body) => {
  expect(cleanBody(body).replace("user@example.com", "").trim()).toBe("text");
});

it("keeps the paragraph after what it takes out", () => {
  expect(cleanBody("This sf.net email is sponsored by: X\nmore\n\nStill here")).toBe("Still here");
});

it("takes time in proportion to a mail's length", () => {
  const startedAt = performance.now();
  for (const junk of ["a", "_", "-", "<", ">", "&#1", "a.", "=", "[A "]) mailInput(`Subject: s\nContent-Type: text/html\n\n${junk.repeat(60_000)}`);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
});
