/**
 * Text that Postgres and JSON can hold: each NUL or lone surrogate becomes U+FFFD. Idempotent.
 * For what others send and we must keep (an answer, an error's message); a caller's own text is refused instead (`request.ts`).
 */
export const storable = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD");
