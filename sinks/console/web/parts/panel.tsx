import { type ComponentChildren, createContext } from "preact";
import { useContext, useId } from "preact/hooks";

import { type Loaded, type Problem, refresh } from "./api.ts";

/** One that is told at the head of the page, and not again by each part of it. */
export const ToldProblem = createContext<Problem | null>(null);

interface PanelProps<T> {
  readonly title: string;
  readonly loaded: Loaded<T>;
  /** `null`: there is something to show. */
  readonly emptyWords?: (value: T) => ComponentChildren | null;
  readonly children: (value: T) => ComponentChildren;
  readonly note?: ComponentChildren;
  readonly size?: "wide" | "half" | "side" | "twoThirds";
}

/** A card with one question's answer: still asked, failed, empty, or there. What is there stays while newer is asked for. */
export function Panel<T>({ title, loaded: { value, problem, isLoading }, emptyWords = () => null, children, note, size = "half" }: PanelProps<T>) {
  const id = useId();
  const told = useContext(ToldProblem);
  const isTold = problem !== null && told?.code === problem.code && told.message === problem.message;
  const empty = value === null ? null : emptyWords(value);
  return (
    <section class={`card ${size}`} aria-labelledby={id} aria-busy={isLoading}>
      <h2 id={id}>{title}</h2>
      {problem !== null && !isTold && <ProblemNote problem={problem} isStale={value !== null} />}
      {isTold && value === null && <p class="empty">Not loaded: see above.</p>}
      {value !== null && empty === null && children(value)}
      {empty !== null && <div class="empty">{empty}</div>}
      {value === null && problem === null && <p class="loading">Loading…</p>}
      {note !== undefined && <p class="note">{note}</p>}
    </section>
  );
}

export function ProblemNote({ problem, isStale = false }: { readonly problem: Problem; readonly isStale?: boolean }) {
  return (
    <div class="problem" role="alert">
      <p><strong>{isStale ? "This may be out of date." : "This could not be loaded."}</strong> {problemWords(problem)}</p>
      <p>{nextStep(problem)} <button type="button" class="small" onClick={refresh}>Try again</button></p>
    </div>
  );
}

const problemWords = ({ status, message }: Problem): string => (status === null ? `The server did not answer: ${message}.` : `The server said ${status}: ${message}`);

function nextStep({ status, code }: Problem): string {
  if (status === null) return "Check that the gateway runs (inferctl status) and that you can reach it.";
  if (status === 401) return "Sign in with an API key of the role read or admin.";
  if (status === 403) return code === "forbidden_host" ? "Open the page by a loopback name, as localhost." : "Your key may not see this; ask whoever runs the service for one that may.";
  if (status === 404) return "It may be older than what is kept, or of another tenant.";
  if (status === 400) return "A filter is not valid: take it away and try again.";
  if (status === 503) return "A part of the system is away: inferctl status says which.";
  return "If it stays so, look into the log of the console (inferctl logs console).";
}
