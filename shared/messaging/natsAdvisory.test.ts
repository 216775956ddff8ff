import { expect, it } from "vitest";

import { natsAdvisory, natsVerdict } from "./natsAdvisory.ts";

it.each(["2.10.27", "2.11.14", "2.12.0", "2.12.5", "2.12.0-preview.1"])("NATS %s has a known hole", (version) => { expect(natsAdvisory(version)).toContain("CVE-2026-33222"); });
it.each(["2.11.15", "2.11.20", "2.12.6", "2.12.8", "2.15.1", "3.0.0"])("NATS %s has none that is known", (version) => { expect(natsAdvisory(version)).toBeNull(); });

const FAR = "nats://nats:4222", NEAR = "nats://127.0.0.1:4222";
it.each([
  [FAR, false, "warn"], [FAR, true, "refuse"], [NEAR, true, undefined], ["nats://[::1]:4222", true, undefined], [`${NEAR},${FAR}`, true, "refuse"], ["tls://a:4222, tls://b:4222", false, "warn"], [`${NEAR},nats://localhost:4223`, true, undefined],
])("at %s, refusing: %s, a server with the hole is: %s", (url, refusesHole, action) => { expect(natsVerdict("2.12.5", { url, refusesHole })?.action).toBe(action); });
it("uses a server without the hole anywhere", () => { expect(natsVerdict("2.12.6", { url: FAR, refusesHole: true })).toBeNull(); });
it("says how to use it all the same", () => { expect(natsVerdict("2.10.27", { url: FAR, refusesHole: true })?.problem).toMatch(/2\.10\.27.*CVE-2026-33222.*INFER_ALLOW_NATS_HOLE=yes/); });
