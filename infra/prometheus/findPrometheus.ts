import { type PrometheusPrograms, prometheusPrograms } from "#infra/embedded/aptRoot.ts";
import { openHome } from "#infra/embedded/homeFolder.ts";

/** For tests: on the PATH, or fetched once. `null`, and a line that says why, where it cannot be had: then they are skipped. */
export async function findPrometheus(): Promise<PrometheusPrograms | null> {
  const say = (line: string) => { process.stderr.write(`  ${line}\n`); };
  try {
    return await prometheusPrograms(openHome(process.env), process.env, say);
  } catch (error) {
    say(`no Prometheus here, so its tests are skipped: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}
