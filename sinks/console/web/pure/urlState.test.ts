import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ConsoleQuery, ConsoleRequestsQuery } from "#shared/contracts/console.ts";

import { apiQuery, type Filters, hrefOf, placeOf, requestsHref, type View } from "./urlState.ts";

const placeAt = (href: string) => {
  const url = new URL(href, "http://localhost");
  return placeOf(url.pathname, url.search);
};

describe("an address", () => {
  it.each<[string, View]>([
    ["/console", { name: "overview" }], ["/console/", { name: "overview" }], ["/console/requests", { name: "requests" }], ["/console/tiers", { name: "tiers" }], ["/console/budgets", { name: "budgets" }],
    ["/console/requests/acme/r-1", { name: "request", tenantId: "acme", requestId: "r-1" }], ["/console/requests/acme", { name: "unknown" }], ["/console/nothing", { name: "unknown" }], ["/console/requests/%E0%A4%A", { name: "unknown" }],
  ])("%s is a view", (path, view) => expect(placeAt(path).view).toEqual(view));

  it("keeps all that it was made of", () => {
    const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
    const filters = fc.record({
      tenant_id: token, tier: fc.constantFrom("small", "medium-2"), last: fc.constantFrom("1h", "7d"), tz: fc.constantFrom("UTC", "Europe/Berlin"), outcome: fc.constantFrom("completed", "failed"),
      policy: fc.stringMatching(/^[a-z &=?#%+-]{1,20}$/), escalated: fc.constantFrom("true", "false"), slo: fc.constantFrom("within", "missed"), request_id: token, min_latency_ms: fc.nat(999_999_999).map(String), before: fc.base64String({ minLength: 4, maxLength: 80 }),
    }, { requiredKeys: [] });
    const view = fc.oneof(fc.constantFrom<View>({ name: "overview" }, { name: "requests" }, { name: "tiers" }, { name: "budgets" }), fc.record({ name: fc.constant("request" as const), tenantId: token, requestId: token }));
    fc.assert(fc.property(view, filters, (where, narrowed) => {
      expect(placeAt(hrefOf({ view: where, filters: narrowed }))).toEqual({ view: where, filters: narrowed });
    }));
  });

  it("leaves out what cannot be", () => {
    expect(placeAt("/console?tenant_id=a%20b&tier=Large&last=5y&from=yesterday&tz=Nowhere&outcome=lost&escalated=maybe&slo=late&min_latency_ms=-3&what=ever").filters).toEqual({});
  });
});

describe("a link from a number", () => {
  const filters: Filters = { tenant_id: "acme", last: "7d", tz: "UTC", outcome: "failed", before: "abc" };

  it("keeps the filters of all views, and drops those of the list", () => expect(requestsHref(filters)).toBe("/console/requests?tenant_id=acme&last=7d&tz=UTC"));
  it("goes by its own time instead of the view's", () => expect(placeAt(requestsHref(filters, { from: "2026-11-29T00:00:00.000Z" })).filters).toEqual({ tenant_id: "acme", tz: "UTC", from: "2026-11-29T00:00:00.000Z" }));
  it("narrows", () => expect(placeAt(requestsHref(filters, { tier: "large", escalated: "true" })).filters).toMatchObject({ tier: "large", escalated: "true", last: "7d" }));
});

describe("a question of the API", () => {
  const now = Date.parse("2026-11-29T12:00:00Z");
  const asked = (filters: Filters) => Object.fromEntries(apiQuery(filters, "Europe/Berlin", now));

  it("knows moments only", () => expect(asked({ last: "1h" })).toEqual({ from: "2026-11-29T11:00:00.000Z", tz: "Europe/Berlin" }));
  it("has the time of the filters, if they have one", () => expect(asked({ last: "1h", from: "2026-11-01T00:00:00Z", tz: "UTC" })).toEqual({ from: "2026-11-01T00:00:00Z", tz: "UTC" }));
  it("is one that the server reads", () => {
    expect(ConsoleQuery.parse(asked({ tenant_id: "acme", tier: "small", last: "30d" }))).toMatchObject({ tenant_id: "acme", tz: "Europe/Berlin" });
    expect(ConsoleRequestsQuery.parse(asked({ outcome: "failed", escalated: "true", slo: "missed", min_latency_ms: "250", before: "x", policy: "cascade", request_id: "r-1" }))).toMatchObject({ min_latency_ms: 250, outcome: "failed" });
  });
});
