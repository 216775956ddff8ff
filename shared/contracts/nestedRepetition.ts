/**
 * Whether a regular expression repeats without bound what itself repeats without bound, as `(a+)+` does: on a text that does not match it may try every
 * way to share the text out, which for 30 characters is a billion. What has no such place may still be slow in other ways, but not like that.
 * `source`: of one that compiles. Pure.
 */
export function hasNestedRepetition(source: string): boolean {
  const groups: boolean[] = [false]; // of each open group, whether something in it repeats without bound
  let before = false; // the same of what a quantifier here would repeat
  for (let at = 0; at < source.length; at++) {
    const sign = source[at];
    const unbounded = /^(?:[*+]|\{\d+,\})/.exec(source.slice(at))?.[0];
    if (unbounded !== undefined) {
      if (before) return true;
      groups[groups.length - 1] = true;
      before = true;
      at += unbounded.length - 1;
    } else if (sign === "(") {
      groups.push(false);
      before = false;
    } else if (sign === ")") {
      before = groups.pop() ?? false;
      if (before) groups[groups.length - 1] = true;
    } else {
      if (sign === "\\") at++;
      if (sign === "[") at = endOfClass(source, at);
      if (sign !== "?") before = false; // `a+?` is `a+`, and `(a+)?` is still one that repeats
    }
  }
  return false;
}

function endOfClass(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "]") return at;
  }
  return source.length;
}
