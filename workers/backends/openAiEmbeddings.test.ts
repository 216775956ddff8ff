import { expect, it } from "vitest";

import { encodeVector } from "#shared/contracts/vectors.ts";

import { BackendError } from "./backendError.ts";
import { readVectors } from "./openAiEmbeddings.ts";

const ASKED = { texts: ["one", "two"] };
const CONFIG = { model: "embed" };
const vector = (index: number, embedding: unknown = encodeVector([index, 1])) => ({ object: "embedding", index, embedding });
const reply = (over: object = {}) => ({ object: "list", model: "embed-2026", data: [vector(0), vector(1)], usage: { prompt_tokens: 7, total_tokens: 7 }, ...over });

it("puts the vectors into the order of their texts, whatever order and form they come in", () => {
  const answer = readVectors(reply({ data: [vector(1, [1, 1]), vector(0)] }), ASKED, CONFIG);
  expect(answer).toEqual({
    output: "", message: { finish_reason: "stop", refusal: null, vectors: [encodeVector([0, 1]), encodeVector([1, 1])] }, model: "embed-2026",
    usage: { input_tokens: 7, output_tokens: 0, source: "reported" }, is_sound: true, confidence: 1, confidence_source: "prior",
  });
});

it("estimates the tokens of texts that the server does not count, and counts those that came as tokens", () => {
  const { usage } = readVectors(reply({ usage: null }), { texts: ["12345678", [5, 6, 7]] }, CONFIG);
  expect(usage).toEqual({ input_tokens: 5, output_tokens: 0, source: "estimated" });
});

it.each<[string, object, RegExp]>([
  ["one too few", { data: [vector(0)] }, /one vector for each of 2/],
  ["one too many", { data: [vector(0), vector(1), vector(2)] }, /one vector for each of 2/],
  ["the same twice", { data: [vector(0), vector(0)] }, /one vector for each of 2/],
  ["lengths that differ", { data: [vector(0), vector(1, [1, 2, 3])] }, /different lengths/],
  ["no numbers", { data: [vector(0), vector(1, encodeVector([1, NaN]))] }, /one vector for each of 2/],
  ["nothing within", { data: [vector(0, []), vector(1, [])] }, /different lengths/],
  ["something else", { data: "none" }, /no list of vectors/],
])("takes a reply with %s for no answer, and bills what the server counted", (_what, over, why) => {
  const reading = () => readVectors(reply(over), ASKED, CONFIG);
  expect(reading).toThrow(why);
  expect(reading).toThrow(BackendError);
  try {
    reading();
  } catch (error) {
    expect(error).toMatchObject({ code: "backend_bad_response", usage: "data" in over && typeof over.data === "string" ? { source: "estimated" } : { input_tokens: 7, source: "reported" } });
  }
});

it("keeps vectors whatever usage they come with, which is judged before it is charged", () => {
  expect(readVectors(reply({ usage: { prompt_tokens: -3 } }), ASKED, CONFIG).usage).toEqual({ input_tokens: -3, output_tokens: 0, source: "reported" });
  expect(readVectors(reply({ usage: "none" }), ASKED, CONFIG).usage).toMatchObject({ source: "estimated" });
});

it("takes vectors of another length than was asked for, and more than a message carries, for no answer", () => {
  expect(() => readVectors(reply(), { ...ASKED, dimensions: 3 }, CONFIG)).toThrow(/2 dimensions where 3 were asked for/);
  const large = Array.from({ length: 100 }, (_, index) => vector(index, Array.from({ length: 3_072 }, () => 0.5)));
  expect(() => readVectors(reply({ data: large }), { texts: large.map(() => "text") }, CONFIG)).toThrow(/larger than/);
});
