import { describe, expect, it } from "vitest";

import { PREDICTOR_FEATURES, predictorFeatures, readQuestion } from "./predictorFeatures.ts";

const QUESTION = "If a train runs for 3 hours at 40 km per hour, how far does it get?";
const CHOICES = ["40 km", "80 km", "120 km", "3 hours"];
const READ = { question: QUESTION, choices: CHOICES };
const lettered = (form: (letter: string) => string) => CHOICES.map((choice, i) => `${form("ABCD"[i] ?? "")} ${choice}`).join("\n");
const SOLVED = "What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n";

describe("a question is read", () => {
  it.each([
    ["with letters and a dot", `${QUESTION}\n${lettered((letter) => `${letter}.`)}\nAnswer:`],
    ["with letters in brackets", `${QUESTION}\n${lettered((letter) => `(${letter})`)}`],
    ["with instructions before and a cue after", `Answer by A, B, C, or D.\n\nQuestion: ${QUESTION}\n\nChoices:\n${lettered((letter) => `${letter}:`)}\n\nAnswer: `],
    ["after solved examples", `The following are questions (with answers).\n\n${SOLVED}${SOLVED}${QUESTION}\n${lettered((letter) => `${letter}.`)}\nAnswer:`],
    ["with Windows line ends", `${QUESTION}\n${lettered((letter) => `${letter}.`)}\nAnswer:`.replaceAll("\n", "\r\n")],
  ])("%s", (_name, query) => { expect(readQuestion(query)).toEqual(READ); });

  it.each([
    ["as it stands", QUESTION],
    ["after solved problems", `Question: What is 1 + 1?\nAnswer: 1 + 1 = 2\n#### 2\n\nQuestion: ${QUESTION}\nAnswer:`],
    ["after problems solved in one line", `Question: What is 1 + 1?\nAnswer: 2\n\nQuestion: ${QUESTION}\nAnswer:`],
    ["with instructions", `Reason step by step.\n\nProblem: ${QUESTION}\n\nStep-By-Step Reasoning: `],
  ])("without choices %s", (_name, query) => { expect(readQuestion(query)).toEqual({ question: QUESTION, choices: [] }); });

  it("with its last line, though that ends like a cue", () => { expect(readQuestion("A stone falls.\nIts speed is:\nA. 1\nB. 2\nAnswer:").question).toBe("A stone falls.\nIts speed is:"); });
  it("with no choices when there is only one letter", () => { expect(readQuestion("Who wrote this?\nA. Nonymous").choices).toEqual([]); });
});

describe("features", () => {
  const choose = (...choices: string[]) => predictorFeatures(`What is true?\n${choices.map((choice, i) => `${"ABCD"[i] ?? ""}. ${choice}`).join("\n")}`);

  it("grow with the length of a word problem", () => {
    const step = " Then she buys 3 more boxes, each with 12 pens.";
    const lengths = [0, 1, 2, 4].map((steps) => predictorFeatures(QUESTION + step.repeat(steps)).length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
    expect(new Set(lengths).size).toBe(4);
  });
  it("count conditions and named things", () => {
    expect(predictorFeatures("Unless Ann is there, who leads if Bob or Carl May come?")).toMatchObject({ conditions: Math.log(3), named_things: Math.log(5) }); // a sentence's first word is no name
  });
  it("tell numbers from terms", () => {
    expect(choose("1/2", "$3.50", "-7 m", "about 8")).toMatchObject({ numeric_choices: 0.75 });
    expect(choose("Photosynthesis", "Transpiration").long_choice_words).toBeGreaterThan(choose("Leaves", "Roots").long_choice_words);
  });
  it("see several questions in one", () => {
    expect(choose("True, True", "True, False", "False, True", "False, False").repeated_choices).toBe(0.75);
    expect(choose("red", "green", "blue", "grey").repeated_choices).toBe(0);
  });
  it.each([["nothing", ""], ["blanks", " \n \n"], ["a choice alone", "A. "], ["a very long text", `${"word ".repeat(100_000)}\nA. x\nB. y`], ["no letters", "你好。\u0000😀"]])("are finite for %s", (_name, query) => {
    const features = predictorFeatures(query);
    expect(PREDICTOR_FEATURES.every((name) => Number.isFinite(features[name]) && features[name] >= 0 && features[name] < 9.2)).toBe(true);
  });
});

it("hostile text is read in milliseconds", () => {
  for (const text of ["\n".repeat(8_000), "\nA. ".repeat(2_000), "\n(".repeat(4_000), "\nA a a a ".repeat(1_000), `\nQ: ${" ".repeat(7_990)}`, "\nAnswer: x".repeat(800), "a ".repeat(4_000)]) {
    const start = performance.now();
    predictorFeatures(text);
    expect(performance.now() - start).toBeLessThan(100);
  }
});
