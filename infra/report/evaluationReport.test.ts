import { describe, expect, it, test } from "vitest";

import { evaluationReport } from "./evaluationReport.ts";
import { EDGE_CASES, evaluation, ordinary, policyReport } from "./madeUpEvaluations.ts";
import { xmlFault } from "./xmlFault.ts";

const context = { command: "inferctl evaluate --train 'a & b.jsonl'", latencySloMs: 3_000 };
const filesOf = (name: string) => evaluationReport(EDGE_CASES[name] ?? evaluation([]), context);
const content = (name: string, file: string) => filesOf(name).find((one) => one.name === file)?.content ?? "";

describe.each(Object.keys(EDGE_CASES))("the report of %s", (name) => {
  const drawn = filesOf(name).filter((file) => !file.name.endsWith(".json"));

  it("is well-formed, page and pictures", () => {
    for (const file of drawn) expect(xmlFault(file.content), file.name).toBeNull();
  });

  it("shows no number that is none", () => {
    for (const file of drawn) expect(file.content, file.name).not.toMatch(/NaN|undefined|Infinity|\bnull\b|∞/);
  });

  it("needs nothing from elsewhere and runs nothing", () => {
    for (const file of drawn) expect(file.content.replaceAll("http://www.w3.org/2000/svg", ""), file.name).not.toMatch(/<script|<link|<img|https?:|url\(|\son\w+=/i);
  });

  it("has names of its own for its files, all in one folder", () => {
    const names = filesOf(name).map((file) => file.name);
    for (const one of names) expect(one).toMatch(/^[\w-]+\.(svg|html|json)$/);
    expect(new Set(names.map((one) => one.toLowerCase())).size).toBe(names.length);
  });
});

test("names of data sets and tiers are text, whatever they hold", () => {
  const page = content("hostile names", "report.html");
  expect(page).toContain("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;\uFFFD]]&gt;");
});

test("a curve is joined in order of cost, once for a policy and its point estimate", () => {
  const [line, ...others] = [...content("ordinary", "curve-all.svg").matchAll(/<path class="s0" d="([^"]*)"/g)].map(([, d]) => d ?? "");
  expect(others).toEqual([]);
  const xs = [...(line ?? "").matchAll(/[ML]([\d.-]+) /g)].map(([, x]) => Number(x));
  expect(xs).toHaveLength(4);
  expect(xs).toEqual(xs.toSorted((a, b) => b - a));
});

test("there is a picture of latency only where one is known", () => {
  expect(filesOf("no latency").map(({ name }) => name)).toEqual(["curve-all.svg", "evaluation.json", "report.html"]);
  expect(content("ordinary", "latency-all.svg")).toContain("SLO 3");
});

test("a tier that is far off is shown at the edge with its figure", () => expect(content("a tier far dearer than the baseline", "curve-all.svg")).toMatch(/>huge \(saving −1,400\u00A0%\)</));

test("so is a baseline, which does not press the rest together", () => {
  const svg = evaluationReport(evaluation([...ordinary(), policyReport({ policy: "raw-confidence", saving: -3 })]), context)[0]?.content ?? "";
  expect(svg).not.toContain(">−100<");
  expect(svg).toMatch(/<title>raw-confidence: saving −300\.0 %[^<]*<\/title><path transform="translate\(40 /);
});

test("a section for each data set is there only when there are several", () => {
  expect(content("ordinary", "report.html")).not.toContain("By data set");
  expect(content("several data sets", "report.html")).toContain("By data set");
});

test("a target that is missed is said in words, on the page too", () => {
  const [missed] = evaluationReport(evaluation(ordinary({ target_held: false })), context).filter(({ name }) => name === "report.html");
  expect(missed?.content).toMatch(/class="headline">[^]*is MISSED\.<\/p>/);
  expect(missed?.content).toContain('<td class="word missed">MISSED</td>');
});

test("evaluation.json is what --json prints, and the command is on the page", () => {
  expect(JSON.parse(content("ordinary", "evaluation.json"))).toEqual(EDGE_CASES["ordinary"]);
  expect(content("ordinary", "report.html")).toContain("--train &#39;a &amp; b.jsonl&#39;");
});

test("the check of XML finds faults", () => {
  for (const bad of ["<a>", "<a></b>", "<a b=c/>", "<a>&</a>", '<a b="1" b="2"/>', "a < b"]) expect(xmlFault(bad), bad).not.toBeNull();
});
