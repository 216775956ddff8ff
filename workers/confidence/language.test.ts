import { expect, it } from "vitest";

import { isInAskedScript } from "./language.ts";

const ENGLISH = "Please summarise this contract in two sentences.", RUSSIAN = "Этот договор касается поставки оборудования в срок.", CHINESE = "这份合同规定供应商应当在约定的期限内交付全部设备并负责安装调试。", JAPANESE = "この契約は、供給者が設備を期日までに納入することを定めています。";

it.each([
  ["the same language", ENGLISH, "It obliges the supplier to deliver.", true],
  ["another script", ENGLISH, RUSSIAN, false],
  ["Chinese for English", ENGLISH, CHINESE, false],
  ["Han in both", CHINESE, JAPANESE, true],
  ["an answer too short to tell", ENGLISH, "Да", true],
  ["code and numbers", RUSSIAN, "42 + 17 = 59", true],
  ["a question too short to tell", "2+2?", RUSSIAN, true],
])("%s", (_name, asked, output, expected) => { expect(isInAskedScript(asked, output)).toBe(expected); });
