/** `make compose-up`: makes the passwords and the secret that docker-compose.yml asks for, once, then starts everything and waits until it is healthy. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";

const PASSWORDS = ["POSTGRES_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD", "INFER_SECRET"];

const known = existsSync(".env") ? readFileSync(".env", "utf8") : "";
for (const name of PASSWORDS) {
  if (process.env[name] !== undefined || new RegExp(`^${name}=.`, "m").test(known)) continue;
  appendFileSync(".env", `${name}=${randomBytes(24).toString("hex")}\n`, { mode: 0o600 });
  process.stderr.write(`made ${name}, kept in .env\n`);
}
const { status, error } = spawnSync("docker", ["compose", "up", "--build", "--detach", "--wait"], { stdio: "inherit" });
if (error !== undefined) process.stderr.write(`docker cannot be run (${error.message}). Without Docker: make up\n`);
else if (status === 0) process.stderr.write("Ready: http://127.0.0.1:8080/infer, administration http://127.0.0.1:8079/docs, Grafana http://127.0.0.1:3000 (admin, password in .env), Prometheus http://127.0.0.1:9090\n");
process.exitCode = status ?? 1;
