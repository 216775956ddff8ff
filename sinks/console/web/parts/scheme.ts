/** Light or dark, as the system says now. */
import { makeStore, useStore } from "./store.ts";

const isDark = matchMedia("(prefers-color-scheme: dark)");
const scheme = makeStore<"light" | "dark">(isDark.matches ? "dark" : "light");
isDark.addEventListener("change", ({ matches }) => scheme.set(matches ? "dark" : "light"));

export const useScheme = (): "light" | "dark" => useStore(scheme);
