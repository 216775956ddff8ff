const EXIT_CODE = { SIGINT: 130, SIGTERM: 143 } as const;
type Name = keyof typeof EXIT_CODE;

export interface Interruption {
  /** Aborts at the first Ctrl-C or `kill`; the next one ends the process at once. */
  readonly signal: AbortSignal;
  /** 128 and the number of the signal that came. */
  readonly exitCode: () => number;
  /** Listens no longer. */
  readonly end: () => void;
}

export function listenForInterruption(): Interruption {
  const stop = new AbortController();
  let came: Name = "SIGINT";
  const listeners = (Object.keys(EXIT_CODE) as Name[]).map((name) => {
    const onSignal = (): void => {
      came = name;
      stop.abort();
    };
    process.once(name, onSignal);
    return () => process.off(name, onSignal);
  });
  return { signal: stop.signal, exitCode: () => EXIT_CODE[came], end: () => { for (const end of listeners) end(); } };
}
