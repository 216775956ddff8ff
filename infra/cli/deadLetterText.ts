/** Dead letters for people. Pure. */
import type { Found, KeptLetter, LetterDetails } from "#shared/deadLetters/deadLetters.ts";

import { printable } from "./paint.ts";
import { usdText } from "./reportText.ts";
import { textTable } from "./textTable.ts";

export function lettersText({ letters, older, unreadable }: Found, nowMs: number): string {
  return [
    letters.length === 0 ? "none" : textTable(["dead letter", "age", "stream", "tenant", "request", "reason", "message"], letters.map(({ seq, letter }) => [
      String(seq), ageText(nowMs - letter.at_ms), letter.stream, letter.tenant_id ?? "-", letter.request_id ?? "-", letter.reason, printable(letter.message),
    ])),
    ...(older === 0 ? [] : [`and ${older} older ones: see them with --since, --tenant, --stream or --reason`]),
    ...(unreadable === 0 ? [] : [`${unreadable} more cannot be read by this version`]),
  ].join("\n");
}

export function detailsText({ seq, letter, payload, outcome }: LetterDetails, nowMs: number): string {
  const late = letter.late_attempt;
  return textTable(["dead letter", String(seq)], [
    ["age", ageText(nowMs - letter.at_ms)],
    ["given up", `${letter.stream} #${letter.stream_seq}, ${letter.subject}, after ${letter.deliveries} deliveries`],
    ["reason", `${letter.reason}: ${printable(letter.message)}`],
    ["payload", payload === null ? "gone: its stream has forgotten it" : `${payload.bytes} bytes, stored ${payload.stored_at}; read it with: nats stream get ${letter.stream} ${letter.stream_seq}`],
    ...(late === null ? [] : [["late run", `attempt ${late.attempt} on ${late.tier}, ${usageText(late.usage)}, ${usd(late.cost_nano_usd)}, booked as waste`]]),
    ["outcome", outcome === null ? "none is known" : `${outcome.outcome}${outcome.error === null ? "" : ` (${outcome.error.code}: ${printable(outcome.error.message)})`}, ${usd(outcome.cost_nano_usd)}`],
    ...(outcome?.attempts ?? []).map((one) => [`attempt ${one.attempt}`, `${one.tier}: ${one.outcome.kind === "failed" ? one.outcome.code : "answered"}, ${usageText(one.usage)}, ${usd(one.cost_nano_usd)}`]),
  ]);
}

type Usage = NonNullable<KeptLetter["letter"]["late_attempt"]>["usage"];
const usageText = (usage: Usage): string => (usage === null ? "no usage known" : `${usage.input_tokens} tokens in, ${usage.output_tokens} out (${usage.source})`);
const usd = (nano: number): string => `${usdText(String(nano))} USD`;

const UNITS: readonly (readonly [name: string, ms: number])[] = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]];
/** In the largest unit of which it has one. */
function ageText(ms: number): string {
  const [name, unitMs] = UNITS.find(([, one]) => ms >= one) ?? ["s", 1_000];
  return `${Math.max(0, Math.floor(ms / unitMs))} ${name}`;
}
