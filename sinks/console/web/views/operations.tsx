/** What whoever runs the service can do from the page: routing models, dead letters, breakers. Each asks first. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { activateModel, deactivateModel, type DeadLetters, discardDeadLetter, resetBreaker, retryDeadLetter, rollBackModel, type StoredModels } from "../parts/admin.ts";
import { type Loaded, useApi } from "../parts/api.ts";
import { Confirm } from "../parts/confirm.tsx";
import { Panel } from "../parts/panel.tsx";
import { formatCount, formatTime } from "../pure/format.ts";

const none = () => new URLSearchParams();
const NEEDS_ADMIN = <p>This is for whoever runs the service: it needs a key of the role admin that is no tenant's.</p>;

/** Whoever may only look is told so, and not of an error. */
function useAdmin<T>(path: string, withheld: T): Loaded<T> & { readonly isWithheld: boolean } {
  const loaded = useApi<T>(path, none, "");
  return loaded.problem?.status === 403 ? { value: withheld, problem: null, isLoading: false, isWithheld: true } : { ...loaded, isWithheld: false };
}

interface Asked {
  readonly title: string;
  readonly action: string;
  readonly words: ComponentChildren;
  readonly isRisky?: boolean;
  readonly run: Parameters<typeof Confirm>[0]["run"];
}

export function Models({ zone }: { readonly zone: string }) {
  const { isWithheld, ...loaded } = useAdmin<StoredModels>("/admin/models", { active: null, versions: [] });
  const [asked, setAsked] = useState<Asked | null>(null);
  const emptyWords = ({ versions }: StoredModels) => (isWithheld ? NEEDS_ADMIN : versions.length > 0 ? null : <><p>There is no routing model: the tier file's thresholds decide.</p><p>Make one: <code>npx inferctl train --from-audit --publish</code>.</p></>);
  return (
    <Panel title="Routing models" loaded={loaded} emptyWords={emptyWords}>
      {({ active, versions }) => {
        const before = active?.previous.at(-1);
        return (
          <>
            <div class="scroll" tabIndex={0} role="region" aria-label="Routing models, table">
              <table>
                <caption class="sr-only">Routing models</caption>
                <thead><tr><th scope="col">Version</th><th scope="col">Now</th><th scope="col"><span class="sr-only">Change</span></th></tr></thead>
                <tbody>
                  {versions.map((version) => {
                    const isActive = version === active?.version;
                    return (
                      <tr key={version}>
                        <th scope="row">{version}</th>
                        <td>{isActive ? <><strong class="good">active</strong> since {formatTime(active.activated_at, zone)}</> : "stored"}</td>
                        <td class="num">{!isActive && <button type="button" class="small" aria-label={`Activate model ${version}`} onClick={() => setAsked({ title: `Activate model ${version}`, action: "Activate", run: () => activateModel(version), words: <p>Routers take it within seconds and decide new requests by it{active?.version == null ? "" : `, instead of ${active.version}`}. The watch over its quality floor begins.</p> })}>Activate…</button>}</td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
            <div class="buttons">
              {before !== undefined && <button type="button" class="small" onClick={() => setAsked({ title: "Roll back", action: "Roll back", run: rollBackModel, words: <p>{before === null ? "No routing model is active then: the tier file's thresholds decide." : `Model ${before} decides new requests again.`} Routers follow within seconds.</p> })}>Roll back…</button>}
              {active?.version != null && <button type="button" class="small" onClick={() => setAsked({ title: "Deactivate the routing model", action: "Deactivate", isRisky: true, run: deactivateModel, words: <p>No routing model decides any more: within seconds routers use the tier file's thresholds.</p> })}>Deactivate…</button>}
            </div>
            <Ask asked={asked} onClose={() => setAsked(null)} />
          </>
        );
      }}
    </Panel>
  );
}

export function Letters({ zone }: { readonly zone: string }) {
  const { isWithheld, ...loaded } = useAdmin<DeadLetters>("/admin/dead-letters", { letters: [] });
  const [asked, setAsked] = useState<Asked | null>(null);
  const emptyWords = ({ letters }: DeadLetters) => (isWithheld ? NEEDS_ADMIN : letters.length > 0 ? null : <p>There are no dead letters that nobody has handled.</p>);
  return (
    <Panel title="Dead letters" loaded={loaded} emptyWords={emptyWords} note="Messages that were given up. Retry sends their request again; discard marks them as handled.">
      {({ letters }) => (
        <>
          <div class="scroll" tabIndex={0} role="region" aria-label="Dead letters, table">
            <table>
              <caption class="sr-only">Dead letters, the latest first</caption>
              <thead><tr><th scope="col">Letter</th><th scope="col">Given up</th><th scope="col">Why</th><th scope="col"><span class="sr-only">Change</span></th></tr></thead>
              <tbody>
                {letters.map(({ seq, letter }) => (
                  <tr key={seq}>
                    <th scope="row">{seq}<span class="note"> {letter.stream}</span></th>
                    <td>{formatTime(letter.at_ms, zone)}<br />{letter.request_id ?? "no request"} of {letter.tenant_id ?? "no tenant"}</td>
                    <td class="why">{letter.reason}: {letter.message}<span class="note"> after {formatCount(letter.deliveries)} deliveries</span></td>
                    <td class="num">
                      {letter.request_id !== null && <button type="button" class="small" aria-label={`Retry letter ${seq}`} onClick={() => setAsked({ title: `Retry letter ${seq}`, action: "Send again", run: () => retryDeadLetter(seq), words: <p>The request {letter.request_id} is sent again as dlq-{seq}, under the limits and budgets of {letter.tenant_id}. It costs money like any other. The letter is then marked as handled.</p> })}>Retry…</button>}{" "}
                      <button type="button" class="small" aria-label={`Discard letter ${seq}`} onClick={() => setAsked({ title: `Discard letter ${seq}`, action: "Discard", isRisky: true, run: () => discardDeadLetter(seq, "by the console"), words: <p>The letter is marked as handled and leaves this list. Nothing is sent again.</p> })}>Discard…</button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <Ask asked={asked} onClose={() => setAsked(null)} />
        </>
      )}
    </Panel>
  );
}

export function ResetBreaker({ tier }: { readonly tier: string }) {
  const [isAsked, setAsked] = useState(false);
  const asked: Asked = { title: `Reset the breaker of ${tier}`, action: "Reset", run: () => resetBreaker(tier), words: <p>All workers of {tier} try again at once: the next call is the trial, and closes the breaker if it is answered. While the model is still away this costs the requests that try it.</p> };
  return (
    <>
      <button type="button" class="small" aria-label={`Reset the breaker of ${tier}`} onClick={() => setAsked(true)}>Reset…</button>
      <Ask asked={isAsked ? asked : null} onClose={() => setAsked(false)} />
    </>
  );
}

function Ask({ asked, onClose }: { readonly asked: Asked | null; readonly onClose: () => void }) {
  if (asked === null) return null;
  const { title, action, isRisky = false, run, words } = asked;
  return <Confirm title={title} action={action} isRisky={isRisky} run={run} onClose={onClose}>{words}</Confirm>;
}
