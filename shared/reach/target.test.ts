import type { LookupFunction } from "node:net";

import { describe, expect, it } from "vitest";

import { allowanceOf, problemOfAddress, problemOfTarget, problemOfUrl } from "./target.ts";

const NOTHING = allowanceOf("", { isKeyless: false });
const OWN_MACHINE = allowanceOf("", { isKeyless: true });
const NOT_PUBLIC = "is not a public address";

describe("an address that is not public is refused:", () => {
  it.each([
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::127.0.0.1", "64:ff9b::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "", "localhost", "10.1", "0x7f000001",
  ])("%s", (address) => {
    expect(problemOfAddress("https:", address, NOTHING)).toBe(NOT_PUBLIC);
  });
  it.each(["1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"])("but not %s", (address) => {
    expect([problemOfAddress("https:", address, NOTHING), problemOfAddress("http:", address, NOTHING)]).toEqual([null, "must be https"]);
  });
});

describe("a URL is refused for what it says:", () => {
  it.each([
    ["", "must be an https URL"], ["hooks.example/x", "must be an https URL"], ["file:///etc/passwd", "must be an https URL"], ["gopher://hooks.example:70/", "must be an https URL"], ["javascript:alert(1)", "must be an https URL"], ["https://", "must be an https URL"],
    ["https://user:pass@hooks.example/", "must not have a user or password in it"], ["https://user@hooks.example/", "must not have a user or password in it"], ["https://93.184.216.34@10.0.0.1/", "must not have a user or password in it"], ["https://hooks.example/#x", "must not have a fragment"],
    ["https://localhost./", "must not end its host name in a dot"], ["https://hooks.example./", "must not end its host name in a dot"],
    ["https://2130706433/", NOT_PUBLIC], ["https://0x7f000001/", NOT_PUBLIC], ["https://0x7f.1/", NOT_PUBLIC], ["https://0177.0.0.1/", NOT_PUBLIC], ["https://127.1/", NOT_PUBLIC], ["https://017700000001/", NOT_PUBLIC], ["https://①②⑦.0.0.1/", NOT_PUBLIC], ["https://127.0.0.1./", NOT_PUBLIC],
    ["https:\\\\10.0.0.1\\", NOT_PUBLIC], ["https:10.0.0.1", NOT_PUBLIC], ["https://[::1]/", NOT_PUBLIC], ["https://[::ffff:a00:1]/", NOT_PUBLIC], ["https://[::ffff:10.0.0.1]/", NOT_PUBLIC], ["https://[fe80::1]/", NOT_PUBLIC], ["http://93.184.216.34/", "must be https"],
  ])("%s", (url, problem) => {
    expect(problemOfUrl(url, NOTHING)).toBe(problem);
  });
  it.each(["https://hooks.example/x?a=b", "https://hooks.example:8443/", "https://93.184.216.34/", "https://[2606:4700::1111]/"])("but not %s", (url) => {
    expect(problemOfUrl(url, NOTHING)).toBeNull();
  });
});

describe("a name is judged by all that it resolves to:", () => {
  const lookup = (addresses: readonly string[]): LookupFunction => (_name, _options, callback) => { callback(null, addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }))); };
  it.each([
    [["93.184.216.34"], null], [["93.184.216.34", "2606:4700::1111"], null], [[], null],
    [["10.0.0.1"], NOT_PUBLIC], [["93.184.216.34", "10.0.0.1"], NOT_PUBLIC], [["2606:4700::1111", "::1"], NOT_PUBLIC], [["::ffff:169.254.169.254"], NOT_PUBLIC],
  ])("%j: %s", async (addresses, problem) => {
    expect(await problemOfTarget("https://hooks.example/", NOTHING, lookup(addresses))).toBe(problem);
  });

  it("which is not asked of an address, and of http needs all to be allowed", async () => {
    const never: LookupFunction = () => { throw new Error("looked up"); };
    expect(await problemOfTarget("https://10.0.0.1/", NOTHING, never)).toBe(NOT_PUBLIC);
    expect(await problemOfTarget("http://hooks.example/", NOTHING, lookup(["93.184.216.34"]))).toBe("must be https");
    expect(await problemOfTarget("http://hooks.example/", OWN_MACHINE, lookup(["127.0.0.1", "::1"]))).toBeNull();
  });

  it("or, where it resolves to nothing yet, when it does", async () => {
    expect(await problemOfTarget("https://hooks.example/", NOTHING, (_name, _options, callback) => { callback(new Error("ENOTFOUND"), []); })).toBeNull();
  });
});

describe("beyond that", () => {
  it("a set-up without keys may reach its own machine, by http too, and nothing else", () => {
    expect(["127.0.0.1", "::1", "127.8.8.8"].map((address) => problemOfAddress("http:", address, OWN_MACHINE))).toEqual([null, null, null]);
    expect(["10.0.0.1", "169.254.169.254", "::2"].map((address) => problemOfAddress("https:", address, OWN_MACHINE))).toEqual([NOT_PUBLIC, NOT_PUBLIC, NOT_PUBLIC]);
  });
  it("named networks may be reached", () => {
    const named = allowanceOf("10.1.0.0/16, fd00:1::/32", { isKeyless: false });
    expect(["10.1.2.3", "fd00:1::5"].map((address) => problemOfAddress("http:", address, named))).toEqual([null, null]);
    expect(["10.2.0.1", "fd00:2::1", "127.0.0.1"].map((address) => problemOfAddress("https:", address, named))).toEqual([NOT_PUBLIC, NOT_PUBLIC, NOT_PUBLIC]);
  });
});
