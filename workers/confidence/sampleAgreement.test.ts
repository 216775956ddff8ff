import { expect, it } from "vitest";

import { sampleAgreement } from "./sampleAgreement.ts";

it.each([[["Paris", "paris."], 1], [["Paris", "Rome"], 0.5], [["Rome"], 0], [[], null]])("agrees with %j by %s", (others, expected) => { expect(sampleAgreement("Paris", others)).toBe(expected); });
