/** Rows that tests make up: one model that streams, one that was measured less well. */
import { type RecordedAnswers, recordedAnswers, type RecordedRow } from "./recordedAnswers.ts";

export const LONG_TEXT = Array.from({ length: 40 }, (_, i) => `word${i}`).join(" ");

const ROWS: readonly RecordedRow[] = [
  {
    id: "row-1", query: "What is 2 + 2?",
    tiers: {
      big: { cost_usd: 0.00012, prompt_tokens: 10, completion_tokens: 50, confidence: 0.75, latency_ms: 60_000, answer: "4" },
      small: { cost_usd: 0.000001, answer: "It is 4." },
    },
  },
  { id: "row-2", query: "Name a colour.", tiers: { small: { cost_usd: 0.000001 } } },
];

export const madeUpAnswers = (): RecordedAnswers => recordedAnswers(ROWS, new Map([["row-1", new Map([["big", LONG_TEXT]])]]));
