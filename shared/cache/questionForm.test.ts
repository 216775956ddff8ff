import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { LabelledPair } from "./evaluatePairs.ts";
import { GUARD_VERSION, questionForm } from "./questionForm.ts";
import { LANGUAGES } from "./questionWords.ts";

const pairsOf = (name: string) => readFileSync(new URL(`labelledPairs/${name}.jsonl`, import.meta.url), "utf8").trim().split("\n").map((line) => LabelledPair.parse(JSON.parse(line)));

describe("the same form have", () => {
  it.each([
    ["What is the capital of Peru?", "what's the capital of Peru"],
    ["What is the capital of France?", "Hi, can you tell me what the capital of France is? Thanks!"],
    ["what is the capital of france", "What is the capital of France ?"],
    ["How tall is Mount Everest?", "I want to know how tall Mount Everest is."],
    ["How do I boil an egg?", "Please show me how to boil an egg."],
    ["How do I boil an egg?", "How can I boil an egg?"],
    ["Explain how a transistor works.", "How does a transistor work?"],
    ["Explain recursion.", "Could you please explain recursion?"],
    ["Why can’t dogs eat chocolate?", "why can't dogs eat chocolate"],
    ["What is 20% of 50?", "What is 20 percent of 50?"],
    ["What colour is the sun?", "What color is the sun?"],
    ["Qui a peint la Joconde ?", "Bonjour, peux-tu me dire qui a peint la Joconde? Merci."],
    ["Give me two facts about Mars.", "Please, give me 2 facts about Mars."],
    ["How far is 5km?", "How far is 5 kilometers?"],
    ["How big is the United States?", "How big is the US?"],
    ["Give me a summary of Emma.", "Summarise Emma."],
    ["Was ist die Hauptstadt von Peru?", "Hallo, kannst du mir sagen, was die Hauptstadt von Peru ist? Danke!"],
    ["¿Quién pintó el Guernica?", "Hola, ¿puedes decirme quién pintó el Guernica?"],
  ])("%s | %s", (one, other) => {
    expect(questionForm(one)).toBe(questionForm(other));
  });
});

describe("different forms have", () => {
  it.each([
    ["with", "without", "Can I travel {} a visa?"], ["first", "last", "Who was the {} king?"], ["most", "least", "Which has the {} votes?"], ["minimum", "maximum", "What is the {} wage?"],
    ["is", "is not", "Why {} Pluto a planet?"], ["can", "can't", "What {} dogs eat?"], ["", "never ", "When should I {}reboot?"],
    ["2", "3", "What is {} plus 1?"], ["two", "three", "Give me {} facts."], ["1.5", "15", "What is {} plus 1?"], ["-5", "5", "What is {} plus 1?"], ["1,000", "1.000", "What is {} plus 1?"],
    ["52", "5²", "What is {}?"], ["5!", "5", "What is {}"], ["n!", "n", "What is {}"], [".*?", ".*", "Explain the pattern {}"], ["10 km", "10 miles", "How far is {}?"],
    ["US", "us", "How old is {} history?"], ["IT", "it", "What does {} do?"], ["Turkey", "turkey", "Where is {} from?"], ["I", "i", "What is {}?"], ["C", "C++", "Is {} hard?"],
    ["`ls -l`", "`ls -a`", "Explain {}."], ["'a'", "'an'", "Where do I put {}?"], ["\"can't\"", "\"cannot\"", "Where do I put {}?"], ["https://a.test/x", "https://a.test/X", "Summarize {}"],
    ["the ", "", "What are {}planets?"], ["a", "the", "What is {} sun?"], ["I", "you", "How do {} work?"], ["do", "should", "How {} I invest?"],
    ["do I look", "can I look", "How {} in it?"], ["is", "was", "What {} the capital?"], [".", "?", "The car is red{}"],
    ["please", "thanks", "How do I spell {}?"], ["please", "thank you", "Translate {} into Korean"], ["yes, please", "yes, thanks", "How do I say {}"], ["US", "United States", "What does the {} stand for?"],
    ["AI", "artificial intelligence", "What does {} stand for?"], [": hello, thanks", ": hello", "Translate{}"], ["colour", "color", "How do you spell {}?"], ["colour", "color", "When do I use {}?"], ["can't", "cannot", "When do I use {}?"], ["a?", "a", "Explain {}"], [" .?", " .", "How do I open a{}"], ["A", "a", "{} is big"],
    ["no, thanks", "no", "How do I answer {}"], ["hello, thanks", "hello, please", "Tell Bob {}"], ["yes, please", "yes, thanks", "Give me the answer {}"], ["ok, thanks", "ok", "Create a button {}"],
    ["Would you recommend", "Recommend", "{} Rust?"], ["Can you speak", "Speak", "{} French?"], ["Tell me", "What is", "{} the truth"],
    ["eat, grandma", "eat grandma", "Let's {}"], ["der", "die", "Was ist {} See?"], ["mit", "ohne", "Kann man {} Visum reisen?"], ["avec", "sans", "Comment cuisiner {} four ?"], ["con", "sin", "¿Puedo viajar {} pasaporte?"],
  ])("%j and %j in %j", (one, other, frame) => {
    const [a, b] = [one, other].map((word) => questionForm(frame.replace("{}", word)));
    expect(a).not.toBeNull();
    expect(a).not.toBe(b);
  });

  it.each([
    ["Did Germany beat Brazil?", "Did Brazil beat Germany?"],
    ["How do I fly from Paris to Rome?", "How do I fly from Rome to Paris?"],
    ["What is 7 minus 3?", "What is 3 minus 7?"],
    ["What is a restaurant?", "Was ist ein Restaurant?"],
    ["Paris is the capital of France.", "Is Paris the capital of France?"],
  ])("%s | %s", (one, other) => {
    expect(questionForm(one)).not.toBe(questionForm(other));
  });

  it.each(pairsOf("adversarial").map(({ a, b, kind }) => [kind, a, b]))("%s: %s | %s", (_kind, a = "", b = "") => {
    const [one, other] = [a, b].map(questionForm);
    expect(one === null || one !== other).toBe(true);
  });

  it.each([
    ["How do you spell ", "?"], ["Kannst du mir die Übersetzung von ", " sagen?"], ["Wie viele Zeichen hat ", "?"], ["Comment écrire ", " ?"], ["Combien de lettres y a-t-il dans ", " ?"], ["Comment traduire ", " ?"], ["¿Cuántas letras tiene ", "?"], ["¿Cómo se escribe ", "?"],
  ])("any two texts in a question about words: %s%s", (before, after) => {
    for (const [one, other] of [["two", "2"], ["zwei", "2"], ["deux", "2"], ["dos", "2"], ["colour", "color"], ["JavaScript", "javascript"], ["can't", "cannot"], ["it’s", "it's"]]) expect(questionForm(`${before}${one}${after}`)).not.toBe(questionForm(`${before}${other}${after}`));
    const asked = `${before}x${after}`;
    for (const other of [asked.replace(/ ?\?$/, ""), asked.toLowerCase(), `Hi, ${asked}`, `${asked} Thanks.`]) if (other !== asked) expect(questionForm(other)).not.toBe(questionForm(asked));
  });

  it("questions that differ in any word that is not listed, have one more, or have two in another order", () => {
    const known = new Set(Object.values(LANGUAGES).flatMap((rules) => [...rules.known]));
    const word = fc.stringMatching(/^[a-z]{3,9}$/).filter((one) => !known.has(one) && !/^(?:colou?rs?|two|three|four|five|six|seven|eight|nine|ten)$/.test(one));
    const start = fc.constantFrom("What is the", "How do I clean the", "Please explain", "Can you tell me what the", "Was ist das", "Pourquoi le", "Por qué el", "List");
    fc.assert(fc.property(start, fc.uniqueArray(word, { minLength: 3, maxLength: 8 }), word, fc.nat(), fc.constantFrom("?", ".", "? Thanks.", ""), (begin, words, other, at, end) => {
      fc.pre(!words.includes(other));
      const place = at % words.length, next = (place + 1) % words.length;
      const form = (of: readonly string[]) => questionForm(`${begin} ${of.join(" ")}${end}`);
      const swapped = words.map((one, i) => (i === place ? words[next] : i === next ? words[place] : one) ?? one);
      const others = [words.with(place, other), words.toSpliced(place, 0, other), words.toSpliced(place, 0, "not"), words.toSpliced(place, 1), swapped];
      for (const changed of others) expect(form(changed)).not.toBe(form(words));
    }), { numRuns: 500 });
  });
});

it("a guard that gives other forms has another version", () => {
  const forms = pairsOf("development").concat(pairsOf("adversarial")).flatMap(({ a, b }) => [questionForm(a), questionForm(b)]);
  expect([GUARD_VERSION, createHash("sha256").update(JSON.stringify(forms)).digest("hex")]).toEqual([2, "dd85df6fe23b5df014714e27f6e1a077c830f08c7690ffc6607d8d3601a8c4c7"]);
});

it.each([["nothing", "  "], ["a document", "word ".repeat(101)], ["several lines", "Summarize this\nline"], ["two spaces", "How many are in a  b?"], ["what Unicode writes otherwise", "What is \u2126?"], ["marks that nobody sees", "What is \u200Ba?"]])("%s has none", (_name, text) => {
  expect(questionForm(text)).toBeNull();
});

it("a form takes 5 ms at most on a busy machine, also of texts that make patterns search", () => {
  const texts = [
    "what is the ".repeat(40), "hi, ".repeat(120), "please ".repeat(70), `"${"'".repeat(490)}`, ": ".repeat(240), "is ".repeat(160), `tell me what the ${"a ".repeat(200)}is`, `explain how ${"do ".repeat(150)}works`,
    `i was wondering how tall ${"the ".repeat(110)}is`, ", thanks".repeat(60), `what is ${"?! ".repeat(160)}`, "1,000,".repeat(80), "a".repeat(500), "what ".repeat(90) + "…".repeat(50), `kannst du mir ${"der ".repeat(110)}erklären`,
  ].map((text) => text.slice(0, 500));
  for (const text of texts) {
    const startedAt = performance.now();
    for (let i = 0; i < 20; i++) questionForm(text);
    expect([text.slice(0, 20), (performance.now() - startedAt) / 20 < 5]).toEqual([text.slice(0, 20), true]);
  }
});
