/** Where the page is, by its address. The browser's own buttons, links and bookmarks work as anywhere. */
import { type Place, placeOf } from "../pure/urlState.ts";
import { makeStore, useStore } from "./store.ts";

const readPlace = (): Place => placeOf(location.pathname, location.search);
const place = makeStore(readPlace());
addEventListener("popstate", () => place.set(readPlace()));

export const usePlace = (): Place => useStore(place);

/** `replace`: without a step of its own in the browser's history. */
export function go(href: string, { replace = false } = {}): void {
  const from = location.pathname;
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  place.set(readPlace());
  if (location.pathname !== from) scrollTo(0, 0);
}

/** A plain click on a link of this page stays in it; with a modifier key, or elsewhere, the browser does what it does. */
export function followLink(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (link === null || link.target !== "" || link.origin !== location.origin || !/^\/console(\/|$)/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
