/** The request directives of HTTP's `Cache-Control` (RFC 9111, 5.2.1) that count here. Pure; what is not known is ignored, as it says. */
export interface CacheControl {
  /** Run it, and keep the answer. */
  readonly noCache: boolean;
  /** Neither use a kept answer nor keep this one. */
  readonly noStore: boolean;
  /** Of kept answers, only those to the very same question. An extension of ours, as RFC 9111 allows (5.2.3). */
  readonly exactOnly: boolean;
  /** A kept answer is only good when it is no older, in seconds. `null`: whatever the tenant's time to live allows. */
  readonly maxAgeS: number | null;
  /** A kept answer, or none: nothing is run. */
  readonly onlyIfCached: boolean;
}

/** Of a directive that is given twice the stricter one counts; an age that cannot be read is none at all. */
export function readCacheControl(text: string | undefined): CacheControl {
  let noCache = false, noStore = false, exactOnly = false, onlyIfCached = false, maxAgeS: number | null = null;
  for (const [, name = "", quoted, token] of (text ?? "").matchAll(DIRECTIVE)) {
    switch (name.toLowerCase()) {
      case "no-cache": noCache = true; break;
      case "no-store": noStore = true; break;
      case "exact-only": exactOnly = true; break;
      case "only-if-cached": onlyIfCached = true; break;
      case "max-age": maxAgeS = Math.min(maxAgeS ?? Infinity, secondsOf(quoted ?? token ?? "")); break;
    }
  }
  return { noCache, noStore, exactOnly, maxAgeS, onlyIfCached };
}
const DIRECTIVE = /([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/g;
const secondsOf = (text: string): number => (/^\d+$/.test(text) ? Math.min(Number(text), 2 ** 31) : 0);

/** What a request asks for in its header and in its body together, as short as it can be; `undefined`: nothing. */
export function cacheControlOf(...texts: readonly (string | undefined)[]): string | undefined {
  const { noCache, noStore, exactOnly, maxAgeS, onlyIfCached } = readCacheControl(texts.filter((text) => text !== undefined).join(", "));
  const directives = [...(noCache ? ["no-cache"] : []), ...(noStore ? ["no-store"] : []), ...(exactOnly ? ["exact-only"] : []), ...(maxAgeS === null ? [] : [`max-age=${maxAgeS}`]), ...(onlyIfCached ? ["only-if-cached"] : [])];
  return directives.length === 0 ? undefined : directives.join(", ");
}
