import { expect, it } from "vitest";

import { hasNestedRepetition } from "./nestedRepetition.ts";

it.each(["(a+)+", "(a*)*b", "(?:a+b?)+", "((a+)b)*", "(a{2,})+", "(a|b+)*", "([a-z]+)*$", "(?<x>\\w+)+", "(a+)?+", "((a)+){3,}", "(.*)*"])("finds that %s repeats what repeats", (source) => {
  expect(hasNestedRepetition(source)).toBe(true);
});

it.each(["^(\\w+)", "a+b+", "(a+)(b+)", "(a+){2}", "(a+){2,3}", "(ab)+", "[(a+)]+", "\\(a+\\)+", "(a)+b*", "(a+)?", "a+?", "answer is\\s*([A-E])", "(?:the )?answer: *(.+)$", ""])("lets %s through", (source) => {
  expect(hasNestedRepetition(source)).toBe(false);
});
