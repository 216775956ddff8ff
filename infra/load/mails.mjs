/**
 * The body of each request: a mail in the form that the local models take ("Subject: …", a blank line, the text), made from parts,
 * so no two are alike and no cache answers them. Part of them reads like spam, part like work, part like both.
 */
import { randomInt, randomUUID } from "node:crypto";

const SUBJECTS = ["Re: patch for the build", "Lunch on Friday?", "You have been selected", "Meeting notes", "Refinance now, rates at a record low", "Re: kernel oops on reboot", "Invoice 20{n}", "Make money from home"];
const OPENINGS = ["Hi all,", "Dear friend,", "Hello,", "Dear customer {n},", "Thanks for the quick reply."];
const SENTENCES = [
  "I have attached the log of the last run; line {n} is where it stops.",
  "Click below to claim your prize of {n} dollars before midnight.",
  "The mirror was down this morning, so the package list is a day old.",
  "No credit check, no fees, no obligation, guaranteed approval.",
  "Could you look at revision {n} when you have a minute?",
  "Lose weight while you sleep, results in {n} days or your money back.",
  "We can move the meeting to room {n}, if that suits everybody.",
  "This offer is not available in stores and will not be repeated.",
  "The test fails only on the second core, and only under load.",
  "Our records show that your account has not been verified.",
];
const CLOSINGS = ["Regards", "Best wishes,\nK.", "Act now!", "Cheers", "To be removed from this list, reply with REMOVE."];

const pick = (list) => list[randomInt(list.length)].replaceAll("{n}", () => String(randomInt(10, 9_999)));

export function mail() {
  const sentences = Array.from({ length: randomInt(1, 12) }, () => pick(SENTENCES));
  return `Subject: ${pick(SUBJECTS)}\n\n${pick(OPENINGS)}\n\n${sentences.join(" ")}\n\n${pick(CLOSINGS)}`;
}

/** Artillery calls it before each request. Fields: shared/contracts/request.ts */
export function newRequest(request, _context, _events, done) {
  request.json = { request_id: `load-${randomUUID()}`, user_id: `load-${randomInt(20)}`, tenant_id: "load", input: mail(), budget: 1 };
  done();
}
