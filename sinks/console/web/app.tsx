import type { ConsoleOverview } from "#shared/contracts/console.ts";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";

import { signOut, useSignIn } from "./parts/api.ts";
import { FilterBar } from "./parts/filterBar.tsx";
import { useFiltered, type ViewProps } from "./parts/filtered.ts";
import { type LiveState, useLive } from "./parts/live.ts";
import { usePlace } from "./parts/navigation.ts";
import { ProblemNote, ToldProblem } from "./parts/panel.tsx";
import { SignIn } from "./parts/signIn.tsx";
import { browserZone } from "./parts/zoneInUse.ts";
import { formatClock } from "./pure/format.ts";
import { commonOf, type Filters, hrefOf, type View } from "./pure/urlState.ts";
import { Budgets } from "./views/budgets.tsx";
import { Overview } from "./views/overview.tsx";
import { Request } from "./views/request.tsx";
import { ListFilters, Requests } from "./views/requests.tsx";
import { Tiers } from "./views/tiers.tsx";

const PAGES = [["overview", "Overview"], ["requests", "Requests"], ["tiers", "Tiers"], ["budgets", "Budgets"]] as const;

function titleOf(view: View): string {
  if (view.name === "request") return `Request ${view.requestId}`;
  return PAGES.find(([name]) => name === view.name)?.[1] ?? "Not found";
}

export function App() {
  const { isAsked } = useSignIn();
  const { view, filters } = usePlace();
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>("#main")?.focus(); }}>Skip to the content</a>
      <Header view={view} filters={filters} isSignedOut={isAsked} />
      <main id="main" tabIndex={-1}>{isAsked ? <SignIn /> : <Page view={view} filters={filters} />}</main>
    </>
  );
}

function Header({ view, filters, isSignedOut }: { readonly view: View; readonly filters: Filters; readonly isSignedOut: boolean }) {
  const { key } = useSignIn();
  return (
    <header>
      <p class="brand"><a href={hrefOf({ view: { name: "overview" }, filters: commonOf(filters) })}>Inference console</a></p>
      <nav aria-label="Views">
        {PAGES.map(([name, words]) => {
          const isHere = view.name === name || (view.name === "request" && name === "requests");
          return <a key={name} href={hrefOf({ view: { name }, filters: commonOf(filters) })} aria-current={isHere ? "page" : undefined}>{words}</a>;
        })}
      </nav>
      <div class="status">
        {!isSignedOut && <LiveMark />}
        {key !== null && !isSignedOut && <button type="button" class="small" onClick={signOut}>Sign out</button>}
      </div>
    </header>
  );
}

function liveWords(state: LiveState): string {
  switch (state.kind) {
    case "live": return "Live";
    case "connecting": return "Connecting…";
    case "waiting": return `Not live: tries again in ${Math.ceil(state.retryInMs / 1_000)} s`;
  }
}

function LiveMark() {
  const { state } = useLive();
  return <p class={`live is-${state.kind}`} role="status"><span class="dot" aria-hidden="true" /> {liveWords(state)}</p>;
}

function Page({ view, filters }: { readonly view: View; readonly filters: Filters }) {
  const zone = filters.tz ?? browserZone;
  const overview = useFiltered<ConsoleOverview>("overview", { filters, zone });
  const heading = useRef<HTMLHeadingElement>(null);
  const [crash, forget] = useErrorBoundary() as [unknown, () => void];
  const title = titleOf(view);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${title} · Inference console`;
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
    if (crash !== undefined) forget();
  }, [title]);
  const props: ViewProps = { filters, zone, overview };
  return (
    <>
      <div class="top">
        <h1 ref={heading} tabIndex={-1}>{title}</h1>
        {overview.value !== null && view.name !== "request" && <p class="note">as of {formatClock(overview.value.at, zone)}, {zone}</p>}
      </div>
      {view.name !== "request" && view.name !== "unknown" && <FilterBar view={view} filters={filters} zone={zone} overview={overview.value} />}
      {view.name === "requests" && <ListFilters filters={filters} />}
      {overview.problem !== null && <ProblemNote problem={overview.problem} isStale={overview.value !== null} />}
      {crash === undefined ? <ToldProblem.Provider value={overview.problem}><Body view={view} {...props} /></ToldProblem.Provider> : (
        <div class="problem" role="alert"><p><strong>This view cannot be shown.</strong> The page and the server may be of different releases: load the page again.</p><p><button type="button" class="small" onClick={() => location.reload()}>Load the page again</button></p></div>
      )}
    </>
  );
}

function Body({ view, ...props }: ViewProps & { readonly view: View }) {
  switch (view.name) {
    case "overview": return <Overview {...props} />;
    case "requests": return <Requests {...props} />;
    case "request": return <Request key={`${view.tenantId}/${view.requestId}`} {...props} tenantId={view.tenantId} requestId={view.requestId} />;
    case "tiers": return <Tiers {...props} />;
    case "budgets": return <Budgets {...props} />;
    case "unknown": return <div class="empty"><p>There is no such page.</p><p><a href="/console">Go to the overview</a></p></div>;
  }
}
