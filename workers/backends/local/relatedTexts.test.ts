import { expect, it } from "vitest";

import { groupRelated } from "./relatedTexts.ts";

const LETTER = "This letter offers a rare chance to transfer eleven million dollars from the account of a late general of my country to your bank";

it("groups a conversation by its subject, whatever its replies say", () => {
  expect(groupRelated(["Subject: Selling disks\n\na", "Subject: other\n\nb", "Subject: Re: Fwd: selling disks\n\nc"])).toEqual([0, 1, 0]);
});

it("does not take a short subject for a conversation", () => {
  expect(groupRelated(["Subject: hello\n\nWhere were you?", "Subject: hello\n\nI sell boats."])).toEqual([0, 1]);
});

it("groups the same letter sent again under other names", () => {
  const again = (subject: string, name: string) => `Subject: ${subject}\n\nDear ${name}, ${LETTER}. Yours, ${name}`;
  expect(groupRelated([again("Urgent business", "Bob"), "Subject: Nothing alike\n\nThe cat sat on the mat all day", again("A matter of trust", "Carol")])).toEqual([0, 1, 0]);
});

it("chains: like by subject, then like by text", () => {
  expect(groupRelated([`Subject: First subject\n\n${LETTER}`, `Subject: Second subject\n\n${LETTER}`, "Subject: Re: Second subject\n\nno"])).toEqual([0, 0, 0]);
});
