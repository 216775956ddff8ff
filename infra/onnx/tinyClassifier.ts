/** The smallest classifier that is one: a tokenizer of known words, and an ONNX file in which each adds its weights to the logits of the classes. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** By word: what it adds to each class. */
export type Weights = Readonly<Record<string, readonly number[]>>;

/** Special tokens, as BERT has them; they say nothing. */
const SPECIAL = ["[UNK]", "[CLS]", "[SEP]"];
const INT64 = 7;
const FLOAT = 1;

/** Writes `model.onnx` and `tokenizer.json`. `inputs`: which of `input_ids`, `attention_mask` and others the model declares; the first is read. */
export async function writeTinyClassifier(dir: string, weights: Weights, inputs: readonly string[] = ["input_ids", "attention_mask"]): Promise<void> {
  const words = [...SPECIAL, ...Object.keys(weights)];
  const classes = Math.max(...Object.values(weights).map((row) => row.length));
  const table = words.flatMap((word) => weights[word] ?? Array.from({ length: classes }, () => 0));
  await writeFile(join(dir, "model.onnx"), modelFile(table, [words.length, classes], inputs));
  await writeFile(join(dir, "tokenizer.json"), JSON.stringify(tokenizerOf(words)));
}

function tokenizerOf(words: readonly string[]) {
  const special = (name: string) => ({ id: name, ids: [words.indexOf(name)], tokens: [name] });
  return {
    version: "1.0", truncation: null, padding: null,
    added_tokens: SPECIAL.map((content) => ({ id: words.indexOf(content), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: { type: "Lowercase" },
    pre_tokenizer: { type: "Whitespace" },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "[CLS]", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "[SEP]", type_id: 0 } }],
      pair: [],
      special_tokens: { "[CLS]": special("[CLS]"), "[SEP]": special("[SEP]") },
    },
    decoder: null,
    model: { type: "WordLevel", vocab: Object.fromEntries(words.map((word, id) => [word, id])), unk_token: "[UNK]" },
  };
}

/** `logits = ReduceSum(Gather(table, ids), tokens)`, as a ModelProto. Field numbers: onnx/onnx.proto, IR version 8, operator set 13. */
function modelFile(table: readonly number[], shape: readonly [number, number], inputs: readonly string[]): Buffer {
  const [ids = ""] = inputs;
  const graph = Buffer.concat([
    message(1, node("Gather", ["table", ids], "rows")),
    message(1, node("ReduceSum", ["rows", "axes"], "logits", Buffer.concat([text(1, "keepdims"), number(3, 0), number(20, 2)]))),
    text(2, "tiny"),
    message(5, Buffer.concat([...shape.map((size) => number(1, size)), number(2, FLOAT), text(8, "table"), bytes(9, Buffer.from(Float32Array.from(table).buffer))])),
    message(5, Buffer.concat([number(1, 1), number(2, INT64), text(8, "axes"), bytes(9, Buffer.from(BigInt64Array.of(1n).buffer))])),
    ...inputs.map((name) => message(11, value(name, INT64, [1, "tokens"]))),
    message(12, value("logits", FLOAT, [1, shape[1]])),
  ]);
  return Buffer.concat([number(1, 8), message(7, graph), message(8, number(2, 13))]);
}

const node = (operator: string, inputs: readonly string[], output: string, attribute?: Buffer): Buffer =>
  Buffer.concat([...inputs.map((name) => text(1, name)), text(2, output), text(4, operator), ...(attribute === undefined ? [] : [message(5, attribute)])]);

function value(name: string, type: number, dims: readonly (number | string)[]): Buffer {
  const shape = Buffer.concat(dims.map((dim) => message(1, typeof dim === "number" ? number(1, dim) : text(2, dim))));
  return Buffer.concat([text(1, name), message(2, message(1, Buffer.concat([number(1, type), message(2, shape)])))]);
}

// Protocol Buffers' wire format.
function varint(n: number): Buffer {
  const out: number[] = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return Buffer.from([...out, n]);
}
const number = (field: number, n: number): Buffer => Buffer.concat([varint(field * 8), varint(n)]);
const bytes = (field: number, content: Buffer): Buffer => Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
const message = bytes;
const text = (field: number, content: string): Buffer => bytes(field, Buffer.from(content));
