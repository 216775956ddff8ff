/** What a query looks like, in a few microseconds and without any model: what a routing model may read before an answer. Pure. */

const LETTERED_CHOICE = /\n\s*A[:.)]/;
const NEGATION = /following|except|not /i;
/** Middle of the logarithm of a query's characters, so that 0 is an ordinary length. */
const ORDINARY_LOG_LENGTH = 5.5;
/** More digits than this say nothing more. */
const MANY_DIGITS = 20;

/** One; has lettered choices; length; length if it has choices; digits; has a negation. Each about within -3 and 3. */
export function queryFeatures(query: string): number[] {
  const choices = LETTERED_CHOICE.test(query) ? 1 : 0;
  const length = Math.log(Math.max(1, query.length)) - ORDINARY_LOG_LENGTH;
  return [1, choices, length, choices * length, Math.min(1, countDigits(query) / MANY_DIGITS), NEGATION.test(query) ? 1 : 0];
}

function countDigits(query: string): number {
  let count = 0;
  for (let i = 0; i < query.length && count < MANY_DIGITS; i++) {
    const code = query.charCodeAt(i);
    if (code >= 48 && code <= 57) count++;
  }
  return count;
}
