import { expect, it } from "vitest";

import { natsAdvisory } from "./natsAdvisory.ts";

it.each(["2.10.27", "2.11.14", "2.12.0", "2.12.5", "2.12.0-preview.1"])("NATS %s has a known hole", (version) => { expect(natsAdvisory(version)).toContain("CVE-2026-33222"); });
it.each(["2.11.15", "2.11.20", "2.12.6", "2.12.8", "2.15.1", "3.0.0"])("NATS %s has none that is known", (version) => { expect(natsAdvisory(version)).toBeNull(); });
