import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { BadBill, readBill, sumBill } from "./bill.ts";
import { compareBill } from "./compareBill.ts";
import { attoUsd, millionths, nanoOfAtto } from "./exactAmount.ts";

async function* lines(...all: string[]) { yield* all; }
const sums = (...all: string[]) => sumBill(readBill(lines(...all)));
const problem = (...all: string[]) => sums(...all).then(() => "none", (error: unknown) => (error instanceof BadBill ? error.message : String(error)));

describe("amounts", () => {
  it.each([["0.1", 10n ** 17n], ["12", 12n * 10n ** 18n], [".5", 5n * 10n ** 17n], ["1.", 10n ** 18n], ["1e-7", 10n ** 11n], ["2.5E3", 2_500n * 10n ** 18n], ["-0.25", -25n * 10n ** 16n], ["+1", 10n ** 18n], ["0.000000000000000001", 1n], ["100e-20", 1n]])("%s is exactly that", (text, atto) => {
    expect(attoUsd(text)).toBe(atto);
  });
  it.each(["", "abc", "1,5", "$1", "0x10", "NaN", "Infinity", "1e", "--1", "0.0000000000000000001", "."])("%j is none", (text) => {
    expect(attoUsd(text)).toBeNull();
  });
  it("are what was written, for whatever is written", () => {
    fc.assert(fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), (atto) => {
      const size = atto < 0n ? -atto : atto;
      expect(attoUsd(`${atto < 0n ? "-" : ""}${size / 10n ** 18n}.${String(size % 10n ** 18n).padStart(18, "0")}`)).toBe(atto);
    }));
  });
  it("are rounded once, half away from zero", () => {
    expect([nanoOfAtto(499_999_999n), nanoOfAtto(500_000_000n), nanoOfAtto(-500_000_000n), nanoOfAtto(-499_999_999n)]).toEqual([0n, 1n, -1n, 0n]);
  });
  it.each([["0.5%", 5_000n], ["0.005", 5_000n], ["0", 0n], ["100%", 1_000_000n], ["0.0001%", 1n], ["0.00001%", null], ["101%", null], ["-1%", null], ["x", null]])("a tolerance of %s", (text, expected) => {
    expect(millionths(text)).toBe(expected);
  });
});

describe("a bill", () => {
  it("is read from CSV with names in any order, more columns and quotation marks", async () => {
    expect(await sums("\uFEFFmodel,\"cost_usd\",project,date\r", "\"gpt-4.1\",0.10,\"a, \"\"b\"\"\",2026-11-28\r", "gpt-4.1,0.20,,2026-11-28", "", "o3,1e-9,x,2026-11-27")).toEqual([
      { day: "2026-11-28", model: "gpt-4.1", cost: 300_000_000n }, { day: "2026-11-27", model: "o3", cost: 1n },
    ]);
  });
  it("is read from JSON lines, to the last digit that is written", async () => {
    expect(await sums('{"date":"2026-11-28","model":"m\\"1.5\\"","cost_usd":123456789.123456789,"input_tokens":12,"more":{"a":[1.5,true,null]}}', '{"date":"2026-11-28","model":"m\\"1.5\\"","cost_usd":"0.000000001"}')).toEqual([
      { day: "2026-11-28", model: 'm"1.5"', cost: 123_456_789_123_456_790n },
    ]);
  });
  it("adds what is smaller than a nano-dollar before it rounds", async () => {
    expect(await sums("date,model,cost_usd", ...Array.from({ length: 10 }, () => "2026-11-28,m,0.0000000001"))).toEqual([{ day: "2026-11-28", model: "m", cost: 1n }]);
  });
  it.each<[string, string[], RegExp]>([
    ["no rows at all", [""], /the bill is empty/],
    ["a missing column", ["date,model,price"], /line 1: there is no column cost_usd/],
    ["a column twice", ["date,model,cost_usd,model"], /line 1: there are two columns model/],
    ["a field too many", ["date,model,cost_usd", "2026-11-28,m,1", "2026-11-28,m,1,000"], /line 3: has 4 fields, and the first line names 3/],
    ["a day that there is not", ["date,model,cost_usd", "", "2026-02-30,m,1"], /line 3: date: must be a day/],
    ["an amount with a comma", ["date,model,cost_usd", '2026-11-28,m,"1,5"'], /line 2: cost_usd: must be an amount/],
    ["an open quotation mark", ["date,model,cost_usd", '2026-11-28,"m,1'], /line 2: a quotation mark is not closed/],
    ["half a count", ["date,model,cost_usd,requests", "2026-11-28,m,1,2.5"], /line 2: requests: must be a whole number/],
    ["no JSON", ['{"date":"2026-11-28"', "x"], /line 1: is no JSON/],
    ["an amount that is none", ['{"date":"2026-11-28","model":"m","cost_usd":null}'], /line 1: cost_usd: /],
    ["no model", ['{"date":"2026-11-28","model":" ","cost_usd":1}'], /line 1: model: must name a model/],
  ])("with %s is refused with its line", async (_what, all, message) => {
    expect(await problem(...all)).toMatch(message);
  });
});

describe("a bill against the ledger", () => {
  const day = (model: string, cost: bigint, on = "2026-11-28") => ({ day: on, model, cost });
  it("is the same within the tolerance, of each day and model by itself", () => {
    const compared = compareBill([day("m", 1_000n), day("n", 1_000n), day("m", 5n, "2026-11-27")], [day("m", 1_005n), day("n", 1_006n), day("m", 5n, "2026-11-27")], 5_000n);
    expect(compared.differences).toMatchObject([{ kind: "bill_differs", about: "2026-11-28 n", says: { bill_nano_usd: "1000", ledger_nano_usd: "1006", difference_nano_usd: "-6" } }]);
    expect(compared).toMatchObject({ days: 3, billed: 2_005n, booked: 2_016n, unbilledModels: [] });
  });
  it("shows what only one of them has, and leaves models of other providers alone", () => {
    const compared = compareBill([day("m", 7n), day("x", 3n)], [day("m", 7n), day("m", 2n, "2026-11-29"), day("local", 9n)], 500_000n);
    expect(compared.differences.map(({ about, says }) => [about, says["bill_nano_usd"], says["ledger_nano_usd"]])).toEqual([["2026-11-28 x", "3", "0"], ["2026-11-29 m", "0", "2"]]);
    expect(compared.unbilledModels).toEqual(["local"]);
  });
  it("never calls the same amounts different, nor different ones the same without a tolerance", () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.bigInt({ min: 0n, max: 10n ** 20n }), (a, b) => {
      expect(compareBill([day("m", a)], [day("m", a)], 0n).differences).toEqual([]);
      expect(compareBill([day("m", a)], [day("m", b)], 0n).differences).toHaveLength(a === b ? 0 : 1);
    }));
  });
});
