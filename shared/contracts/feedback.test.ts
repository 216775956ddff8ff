import { expect, it } from "vitest";

import { FeedbackBody, FeedbackMessage, isJudged } from "./feedback.ts";

const BODY = { score: 1, source: "user" };

it.each([
  BODY, { ...BODY, score: 0 }, { ...BODY, score: 0.25, source: "llm_judge-2" }, { ...BODY, source: "s".repeat(32) },
  { ...BODY, comment: "" }, { ...BODY, comment: "x".repeat(1_000) }, { ...BODY, comment: "שלום 🌍\n" },
])("takes %j, through either door", (body) => {
  expect(FeedbackBody.parse(body)).toEqual(body);
  expect(FeedbackMessage.parse(body)).toEqual(body);
  expect(FeedbackMessage.parse({ type: "feedback.v1", ...body })).toEqual({ type: "feedback.v1", ...body });
});

it.each([
  {}, { score: 1 }, { source: "user" }, { ...BODY, score: -0.01 }, { ...BODY, score: 1.01 }, { ...BODY, score: "1" }, { ...BODY, score: null }, { ...BODY, score: NaN },
  { ...BODY, source: "" }, { ...BODY, source: "User" }, { ...BODY, source: "a.b" }, { ...BODY, source: "a b" }, { ...BODY, source: "s".repeat(33) }, { ...BODY, source: "ü" },
  { ...BODY, comment: "x".repeat(1_001) }, { ...BODY, comment: null }, { ...BODY, comment: "a\0" }, { ...BODY, comment: "\ud83c" }, { ...BODY, rating: 5 },
])("refuses %j, through either door", (body) => {
  expect([FeedbackBody.safeParse(body).success, FeedbackMessage.safeParse(body).success]).toEqual([false, false]);
});

it("is judged by who says it of any answer, not by users", () => {
  expect(["label", "judge", "user", "thumbs"].map((source) => isJudged({ source }))).toEqual([true, true, false, false]);
});
