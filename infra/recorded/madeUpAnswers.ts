/** Rows that tests make up: one model that streams, one that was measured less well. */
import { type RecordedAnswers, recordedAnswers, type RecordedOutput, type RecordedRow } from "./recordedAnswers.ts";

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
  { id: "row-3", query: "Look here and there.", tiers: { big: { cost_usd: 0.0001, confidence: 0.75 }, small: { cost_usd: 0.000001, prompt_tokens: 10, completion_tokens: 40 } } },
];

/** 31 characters of arguments. */
export const CALLS = [{ id: "call_1", name: "look", arguments: '{"at":"here, 🌍"}' }, { id: "call_2", name: "look", arguments: '{"at":"there"}' }] as const;
const OUTPUTS: readonly (readonly [string, string, RecordedOutput])[] = [
  ["row-1", "big", { text: LONG_TEXT, calls: [] }],
  ["row-3", "big", { text: null, calls: CALLS }],
  ["row-3", "small", { text: "I look.", calls: CALLS.slice(0, 1) }],
];

export const madeUpAnswers = (): RecordedAnswers =>
  recordedAnswers(ROWS, new Map(ROWS.map(({ id }) => [id, new Map(OUTPUTS.flatMap(([rowId, model, output]) => (rowId === id ? [[model, output]] : [])))])));
