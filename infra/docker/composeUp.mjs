/** `make compose-up`: makes the secrets that docker-compose.yml asks for, once, then starts everything and waits until it is healthy. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

/** By file, the variable of `.env` that held it before there were files: volumes were made with that one. */
const FORMER = { "postgres-password": "POSTGRES_PASSWORD", "grafana-password": "GF_SECURITY_ADMIN_PASSWORD", "infer-secret": "INFER_SECRET", "snapshot-keys": "INFER_SNAPSHOT_KEYS" };

const env = existsSync(".env") ? readFileSync(".env", "utf8") : "";
const formerOf = (name) => process.env[name] || new RegExp(`^${name}=(.+)$`, "m").exec(env)?.[1]?.trim();
mkdirSync("secrets", { recursive: true });
chmodSync("secrets", 0o700); // containers' users have other numbers, so the files in it are readable
/** Once: what is there is in use. */
function keep(name, valueOf) {
  const file = `secrets/${name}`;
  if (existsSync(file)) return;
  writeFileSync(file, `${valueOf()}\n`);
  chmodSync(file, 0o644);
  process.stderr.write(`made ${file}\n`);
}
for (const [name, variable] of Object.entries(FORMER)) keep(name, () => formerOf(variable) ?? randomBytes(24).toString("hex"));
keep("database-url", () => `postgresql://infer:${readFileSync("secrets/postgres-password", "utf8").trim()}@postgres:5432/infer`);

const { status, error } = spawnSync("docker", ["compose", "up", "--build", "--detach", "--wait"], { stdio: "inherit" });
if (error !== undefined) process.stderr.write(`docker cannot be run (${error.message}). Without Docker: make up\n`);
else if (status === 0) process.stderr.write("Ready: http://127.0.0.1:8080/infer, administration http://127.0.0.1:8079/docs, Grafana http://127.0.0.1:3000 (admin, password in secrets/grafana-password), Prometheus http://127.0.0.1:9090\n");
process.exitCode = status ?? 1;
