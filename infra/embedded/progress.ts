/** How a long command tells what it is doing. The command line prints it; a test collects it. */
export interface Progress {
  /** Runs one step and says how it went and how long it took. `detail` may add to what is said at the end. */
  readonly step: <T>(title: string, run: () => Promise<T>, detail?: (result: T) => string) => Promise<T>;
  /** Something worth knowing that is no step. */
  readonly note: (line: string) => void;
  /** How far the running step is. On a terminal it replaces what was told before; else it is a note now and then. Absent: nobody watches. */
  readonly tell?: (how: string) => void;
}
