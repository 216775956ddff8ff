import { expect, it } from "vitest";

import type { Chat } from "#shared/contracts/chat.ts";

import { isSound, type Judged } from "./isSound.ts";

const chat = (over: Partial<Chat> = {}): Chat => ({ messages: [{ role: "user", content: "x" }], ...over });
const answer = (over: Partial<Judged> = {}): Judged => ({ text: "spam", refusal: null, finish_reason: "stop", isCallersLimit: false, ...over });
const calling = (...texts: string[]): Partial<Judged> => ({ text: "", finish_reason: "tool_calls", tool_calls: texts.map((text) => ({ id: "1", type: "function", function: { name: "f", arguments: text } })) });
const json = chat({ response_format: { type: "json_object" } });
const COLOUR = { type: "object", properties: { colour: { type: "string" } }, required: ["colour"] };
const colour = chat({ response_format: { type: "json_schema", json_schema: { name: "x", schema: COLOUR } } });
const tool = (strict: boolean) => chat({ tools: [{ type: "function", function: { name: "f", parameters: COLOUR, strict } }] });
const schema = chat({ response_format: { type: "json_schema", json_schema: { name: "x", schema: {} } } });

it.each<[string, boolean, Chat | string, Judged]>([
  ["text", true, chat(), answer()],
  ["blank text", false, chat(), answer({ text: " \n" })],
  ["a refusal", false, chat(), answer({ refusal: "no" })],
  ["an empty refusal, which is none", true, chat(), answer({ refusal: "" })],
  ["text that a filter cut", false, chat(), answer({ finish_reason: "content_filter" })],
  ["text that the tier cut", false, chat(), answer({ finish_reason: "length" })],
  ["text that the caller had cut", true, chat(), answer({ finish_reason: "length", isCallersLimit: true })],
  ["nothing, cut by the caller's limit", false, chat(), answer({ text: "", finish_reason: "length", isCallersLimit: true })],
  ["a call", true, chat(), answer(calling('{"a":1}'))],
  ["a call for that the server said stop", true, chat(), answer({ ...calling("{}"), finish_reason: "stop" })],
  ["a call that is not a function's", true, chat(), answer({ ...calling(), tool_calls: [{ id: "1", type: "custom", custom: { input: "x" } }] })],
  ["the announcement of calls alone", false, chat(), answer({ ...calling(), text: "I shall look" })],
  ["a call with arguments that are no JSON", false, chat(), answer(calling("{}", '{"a":'))],
  ["JSON where it was asked for", true, json, answer({ text: ' {"a":1}\n' })],
  ["text where JSON was asked for", false, json, answer()],
  ["JSON for a schema", true, schema, answer({ text: "{}" })],
  ["text for a schema", false, schema, answer()],
  ["JSON that matches the schema", true, colour, answer({ text: '{"colour":"red"}' })],
  ["JSON that does not", false, colour, answer({ text: '{"color":"red"}' })],
  ["JSON for a schema that is none", true, chat({ response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "strin" } } } }), answer({ text: "1" })],
  ["a call that matches its strict tool", true, tool(true), answer(calling('{"colour":"red"}'))],
  ["a call that does not match its strict tool", false, tool(true), answer(calling('{"colour":1}'))],
  ["a call that does not match a tool that is not strict", true, tool(false), answer(calling('{"colour":1}'))],
  ["a call of a tool that was not offered", true, tool(true), answer({ ...calling(), tool_calls: [{ id: "1", type: "function", function: { name: "g", arguments: "{}" } }] })],
  ["JSON that the caller had cut", false, json, answer({ text: '{"a":', finish_reason: "length", isCallersLimit: true })],
  ["a call where JSON was asked for", true, json, answer(calling("{}"))],
  ["text for a text", true, "x", answer()],
  ["a call for a text", false, "x", answer({ ...calling("{}"), text: "y" })],
])("%s is sound: %j", (_name, expected, input, judged) => { expect(isSound(input, judged)).toBe(expected); });
