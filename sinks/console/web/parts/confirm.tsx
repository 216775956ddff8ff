import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import type { Answer, Problem } from "./api.ts";
import { refresh } from "./api.ts";

interface ConfirmProps {
  readonly title: string;
  /** What will happen. */
  readonly children: ComponentChildren;
  readonly action: string;
  readonly isRisky?: boolean;
  readonly run: () => Promise<Answer<unknown>>;
  readonly onClose: () => void;
}

/** Asks before anything is changed. Esc and Cancel change nothing. */
export function Confirm({ title, children, action, isRisky = false, run, onClose }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [state, setState] = useState<"asks" | "runs" | Problem>("asks");
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = async () => {
    setState("runs");
    const answer = await run();
    if (answer.kind === "problem") return void setState(answer.problem);
    dialog.current?.close();
    refresh();
  };
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <form method="dialog" onSubmit={(event) => { event.preventDefault(); void confirm(); }}>
        <h2 id={id}>{title}</h2>
        {children}
        <p class="note">It is written into the admin audit, with your key.</p>
        {typeof state === "object" && (
          <div class="problem" role="alert"><p><strong>Nothing was changed.</strong> {state.status === null ? `The server did not answer (${state.message}); look whether it was done before you try again.` : state.message}</p>
            {state.status === 403 && <p>This needs a key of the role admin, of whoever runs the service.</p>}</div>
        )}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class={isRisky ? "primary risky" : "primary"} disabled={state === "runs"}>{state === "runs" ? "Working…" : action}</button>
        </div>
      </form>
    </dialog>
  );
}
