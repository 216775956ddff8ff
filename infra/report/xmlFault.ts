const TOKEN = /<!doctype html>|<\/([A-Za-z][\w:-]*)\s*>|<([A-Za-z][\w:-]*)((?:\s+[A-Za-z_:][\w:.-]*="[^"<]*")*)\s*(\/?)>|[^<]+/gy;
const STRAY_AMPERSAND = /&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)/;

/** For tests: what keeps a text from being well-formed XML, as far as the report's own kind of markup goes; `null`: nothing. */
export function xmlFault(text: string): string | null {
  const open: string[] = [];
  let end = 0;
  for (const { 0: token, 1: closed, 2: opened, 3: attributes = "", 4: slash, index } of text.matchAll(TOKEN)) {
    end = index + token.length;
    if (STRAY_AMPERSAND.test(token)) return `a stray ampersand in ${token}`;
    const names = [...attributes.matchAll(/([\w:.-]+)="[^"]*"/g)].map(([, name]) => name);
    if (new Set(names).size < names.length) return `an attribute twice in ${token}`;
    if (opened !== undefined && slash === "") open.push(opened);
    if (closed !== undefined && open.pop() !== closed) return `</${closed}> closes what is not open`;
  }
  if (end < text.length) return `not markup: ${text.slice(end, end + 60)}`;
  return open.length === 0 ? null : `<${open.join("><")}> is not closed`;
}
