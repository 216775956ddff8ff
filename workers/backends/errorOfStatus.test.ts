import { expect, it } from "vitest";

import { retryAfterMsOf } from "./errorOfStatus.ts";

const NOW_MS = Date.UTC(2026, 9, 21, 7, 28, 0);

it.each([
  ["2", 2_000], ["0", 0], [" 1.5 ", 1_500], ["999999999", 60_000],
  ["Wed, 21 Oct 2026 07:28:30 GMT", 30_000], ["Wed, 21 Oct 2026 07:28:00 GMT", 0], ["Tue, 20 Oct 2026 07:28:00 GMT", 0], ["Wed, 21 Oct 2027 07:28:00 GMT", 60_000],
  ["soon", null], ["", null], ["-5", null], ["1e3", null], ["0x10", null], ["Infinity", null], ["2026-10-21", null], ["Wed, 99 Xyz 2026 07:28:00 GMT", null],
])("a Retry-After of %j is a wait of %j ms", (header, waitMs) => { expect(retryAfterMsOf(header, NOW_MS)).toBe(waitMs); });
