/** Calls of the API, with the key where one was given. The page trusts the shapes of its own server, which is of the same release. */
import { useEffect, useState } from "preact/hooks";

import { makeStore, useStore } from "./store.ts";

const KEY_NAME = "infer-console-key";
const DEADLINE_MS = 15_000;

interface SignIn {
  /** `null`: none was given, which is enough without API keys. */
  readonly key: string | null;
  /** The server asked for a key, or refused this one. */
  readonly isAsked: boolean;
}
/** Of this tab alone: gone when it is closed. */
const signIn = makeStore<SignIn>({ key: sessionStorage.getItem(KEY_NAME), isAsked: false });
export const useSignIn = (): SignIn => useStore(signIn);

export function signInWith(key: string): void {
  sessionStorage.setItem(KEY_NAME, key);
  signIn.set({ key, isAsked: false });
  refresh();
}
export function signOut(): void {
  sessionStorage.removeItem(KEY_NAME);
  signIn.set({ key: null, isAsked: true });
}
export const askForKey = (): void => {
  if (!signIn.get().isAsked) signIn.set({ ...signIn.get(), isAsked: true });
};
export const onKey = (listener: () => void): (() => void) => signIn.follow(listener);

export interface Problem {
  readonly status: number | null;
  readonly code: string;
  readonly message: string;
}
export type Answer<T> = { readonly kind: "ok"; readonly value: T } | { readonly kind: "problem"; readonly problem: Problem };

export const authorization = (): Record<string, string> => {
  const { key } = signIn.get();
  return key === null ? {} : { authorization: `Bearer ${key}` };
};

interface Call {
  readonly method?: "GET" | "POST" | "PATCH";
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export async function call<T>(path: string, { method = "GET", body, signal }: Call = {}): Promise<Answer<T>> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  try {
    const response = await fetch(path, {
      method,
      headers: { accept: "application/json", ...authorization(), ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
    });
    if (response.ok) return { kind: "ok", value: (response.status === 204 ? null : await response.json()) as T };
    if (response.status === 401) askForKey();
    return { kind: "problem", problem: await problemIn(response) };
  } catch (error) {
    const isLate = deadline.aborted;
    return { kind: "problem", problem: { status: null, code: isLate ? "timeout" : "unreachable", message: isLate ? `no answer within ${DEADLINE_MS / 1_000} s` : error instanceof Error ? error.message : "the call failed" } };
  }
}

async function problemIn(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: { code?: string; message?: string } };
    return { status: response.status, code: error?.code ?? "unknown", message: error?.message ?? response.statusText };
  } catch {
    return { status: response.status, code: "unknown", message: text.slice(0, 200) || response.statusText };
  }
}

/** Counts up whenever what is shown is to be asked for again. */
const refreshes = makeStore(0);
export const refresh = (): void => refreshes.set(refreshes.get() + 1);

export interface Loaded<T> {
  /** The last that came, also while newer is asked for or could not be had. */
  readonly value: T | null;
  readonly problem: Problem | null;
  readonly isLoading: boolean;
}

/** `query`: made anew for each call, since some times are counted from now. `key` says when it is another question. `null` as path: nothing to ask. */
export function useApi<T>(path: string | null, query: () => URLSearchParams, key: string): Loaded<T> {
  const tick = useStore(refreshes);
  const whole = path === null ? null : `${path}?${key}`;
  const [state, setState] = useState<Loaded<T> & { readonly of: string | null }>({ value: null, problem: null, isLoading: true, of: whole });
  useEffect(() => {
    if (path === null) return;
    const gone = new AbortController();
    setState((before) => (before.of === whole ? { ...before, isLoading: true } : { value: null, problem: null, isLoading: true, of: whole }));
    void call<T>(`${path}?${query().toString()}`, { signal: gone.signal }).then((answer) => {
      if (gone.signal.aborted) return;
      setState((before) => (answer.kind === "ok" ? { value: answer.value, problem: null, isLoading: false, of: whole } : { ...before, problem: answer.problem, isLoading: false }));
    });
    return () => gone.abort();
  }, [whole, tick]);
  return state.of === whole ? state : { value: null, problem: null, isLoading: true };
}
