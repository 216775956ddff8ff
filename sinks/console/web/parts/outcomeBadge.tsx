import type { Outcome } from "#shared/contracts/events.ts";

const MARKS: Readonly<Record<Outcome, string>> = { completed: "✓", degraded: "◐", failed: "✕", rejected: "⊘" };

export const OutcomeBadge = ({ outcome }: { readonly outcome: Outcome }) => <span class={`badge ${outcome}`}><span aria-hidden="true">{MARKS[outcome]}</span> {outcome}</span>;
