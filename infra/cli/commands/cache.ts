import { SetupError } from "#infra/embedded/setupError.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import { parseLine, readRows } from "#router/evaluation/outcomeLog.ts";
import { type Counted, evaluatePairs, LabelledPair } from "#shared/cache/evaluatePairs.ts";
import { GUARD_VERSION } from "#shared/cache/questionForm.ts";
import { issueLines } from "#shared/contracts/describeIssues.ts";
import { type AuditedHits, readAuditedHits, storeEvaluation } from "#shared/tenancy/semanticCache.ts";

import { type Command, EXIT_USAGE, sayer, wrongUse } from "../command.ts";
import { withTenancy } from "../tenancy.ts";
import { textTable } from "../textTable.ts";

const SWITCHED_OFF = "its semantic cache is off now: by this evaluation the share of false hits may be above its max_false_hit_rate";
const ACTOR = { kind: "inferctl" } as const;

export const cache: Command = {
  summary: "The semantic cache: how often its guard gives one answer to two questions, rightly and wrongly, by pairs or by audits of hits.",
  usage: "evaluate --pairs <file> [--tenant <tenant> --store] | audits --tenant <tenant>",
  details: [
    'evaluate    --pairs: JSON lines, plain or .gz: {"a":"<question>","b":"<question>","same":true|false,"kind"?:"<of the difference>"}.',
    "            `same`: an answer to one does for the other. A pair may stand there once. 368 pairs that are not the same, of which",
    "            the guard reads both sides and none is a hit, are the fewest that show a share of false hits below 1 %",
    "--store     keeps the evaluation for the tenant, whose semantic cache may then be switched on: inferctl tenants set <tenant> --semantic on.",
    "            The latest one counts: one that fails switches the semantic cache off. Of a tenant's own questions: a set from elsewhere says little of them",
    "audits      hits of the tenant that were run afterwards, and the share of false ones among them, for the guard as it is",
    "--json      for programs",
  ],
  example: "inferctl cache evaluate --pairs shared/cache/labelledPairs/heldOut.jsonl",
  options: { json: { type: "boolean" }, pairs: { type: "string" }, tenant: { type: "string" }, store: { type: "boolean" } },
  maxPositionals: 1,
  verbs: ["evaluate", "audits"],
  run: async ({ values, positionals: [verb] }, { environment, print }) => {
    const say = sayer({ values }, { print });
    const text = (option: string): string | undefined => (typeof values[option] === "string" ? values[option] : undefined);
    const tenantId = text("tenant");
    switch (verb ?? "") {
      case "evaluate": {
        if ((values["store"] === true) !== (tenantId !== undefined)) refuse("--store and --tenant <tenant> go together");
        const evaluation = evaluatePairs(await readPairs(text("pairs") ?? refuse("say which pairs: --pairs <file>")));
        const stored = tenantId === undefined ? null : await withTenancy(environment, (rights) => storeEvaluation(rights, ACTOR, tenantId, evaluation));
        say({ ...evaluation, ...(stored === null ? {} : { switched_off: stored.switchedOff }) }, [describe(evaluation), ...(tenantId === undefined ? [] : [`stored for tenant ${tenantId}`]), ...(stored?.switchedOff === true ? [SWITCHED_OFF] : [])].join("\n"));
        return 0;
      }
      case "audits": {
        const audited = await withTenancy(environment, (rights) => readAuditedHits(rights, tenantId ?? refuse("say of which tenant: --tenant <tenant>")));
        say({ guard_version: GUARD_VERSION, ...audited }, describeAudits(audited));
        return 0;
      }
      default: return refuse(verb === undefined ? "say what to do with the cache" : `there is no "cache ${verb}"`);
    }
  },
};

function refuse(message: string): never {
  throw wrongUse("cache", message);
}

async function readPairs(file: string): Promise<LabelledPair[]> {
  const seen = new Set<string>();
  try {
    return await readRows(file, (line) => {
      const pair = LabelledPair.safeParse(parseLine(line));
      if (!pair.success) throw new Error(issueLines(pair.error).join("; "));
      const key = JSON.stringify([pair.data.a, pair.data.b].sort());
      if (seen.has(key)) throw new Error("this pair was there before: a pair counts once");
      seen.add(key);
      return pair.data;
    });
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new SetupError(error.message, "Correct it; how a line looks: inferctl cache --help", { exitCode: EXIT_USAGE, cause: error });
  }
}

const describeAudits = ({ compared, false_hits, unclear, unknown, lower, upper, disproved_rate }: AuditedHits): string => [
  `guard ${GUARD_VERSION}: ${compared} hits were compared with a run, ${false_hits} of them false: of hits (${percent(lower)} to ${percent(upper)}), ${unclear} unclear; of ${unknown} more the run brought no answer`,
  ...(disproved_rate === null ? [] : [`that switched the semantic cache off at a max_false_hit_rate of ${disproved_rate}: for this guard it stays off at that and any lower one`]),
].join("\n");

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const rowOf = (what: string, { pairs, hits, lower, upper }: Counted): string[] => [what, String(pairs), String(hits), pairs === 0 ? "-" : percent(hits / pairs), `${percent(lower)} to ${percent(upper)}`];

function describe({ guard_version, set_sha256, hit_rate, false_hit_rate, unread_pairs, false_hits, similarity_alone }: ReturnType<typeof evaluatePairs>): string {
  const rows = [rowOf("same question: hits", hit_rate), rowOf("other question: false hits among pairs", false_hit_rate)];
  if (similarity_alone !== null) {
    const { threshold, ...alone } = similarity_alone;
    rows.push(rowOf(`without a guard, likeness of ${threshold.toFixed(3)}: hits`, alone.hit_rate), rowOf("and false hits", alone.false_hit_rate));
  }
  return [
    `guard ${guard_version}, pairs ${set_sha256.slice(0, 12)}`,
    textTable(["", "pairs", "counted", "share", "95 %"], rows),
    ...(unread_pairs === 0 ? [] : [`${unread_pairs} other pairs are not counted: the guard leaves a side as it is, so that they could be no hit`]),
    ...false_hits.map(({ a, b }) => `false hit: ${JSON.stringify(a)} and ${JSON.stringify(b)}`),
  ].join("\n");
}
