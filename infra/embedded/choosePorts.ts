/** Ports of the roles: where they were before, or as documented, or free ones. A port that somebody set is never replaced. */
import { chooseFreePorts, isPortFree } from "./freePort.ts";
import { portsTaken, type Ports } from "./roles.ts";
import { PORT_VARIABLES, type PortVariable, type Settings } from "./settings.ts";
import { SetupError } from "./setupError.ts";

export interface PortsBefore {
  /** Of the variables; undefined when nothing ran. */
  readonly former: Partial<Ports>;
  /** Held by our own running roles: taken, but not by a stranger. */
  readonly held: ReadonlySet<number>;
  readonly isFree?: ((port: number) => Promise<boolean>) | undefined;
  readonly onProgress: (line: string) => void;
}

/** Throws a `SetupError` that names port and variable when a set port is taken. */
export async function choosePorts(settings: Pick<Settings, "ports" | "chosenPorts" | "tiers">, before: PortsBefore): Promise<Ports> {
  const claimed = new Set<number>();
  const isFree = async (port: number): Promise<boolean> => !claimed.has(port) && (before.held.has(port) || (await (before.isFree ?? isPortFree)(port)));
  const chosen: Partial<Record<PortVariable, number>> = {};
  // Ports that were set come first, so that a free one is not chosen over them.
  const ordered = [...PORT_VARIABLES].sort((a, b) => Number(settings.chosenPorts.has(b)) - Number(settings.chosenPorts.has(a)));
  for (const variable of ordered) {
    const count = portsTaken(variable, settings.tiers);
    const port = await choosePort(variable, count, settings, { ...before, isFree });
    for (let i = 0; i < count; i += 1) claimed.add(port + i);
    chosen[variable] = port;
  }
  return chosen as Ports; // every variable was assigned just above
}

export interface MovedPort {
  readonly variable: PortVariable;
  /** The lowest, of the workers'. */
  readonly wanted: number;
  readonly used: number;
}

/** Which roles are not where the settings want them, because the port was taken now or when they were first started. 0 wants any port. */
export const movedPorts = ({ ports }: Pick<Settings, "ports">, used: Ports): MovedPort[] =>
  PORT_VARIABLES.flatMap((variable) => (ports[variable] === 0 || ports[variable] === used[variable] ? [] : [{ variable, wanted: ports[variable], used: used[variable] }]));

/** For systems that start on one machine at once: between the look at a port and its use each would take the same. */
const anyStart = (): number => 20_000 + Math.floor(Math.random() * 12_000);

async function choosePort(variable: PortVariable, count: number, { ports, chosenPorts }: Pick<Settings, "ports" | "chosenPorts">, before: Required<PortsBefore>): Promise<number> {
  const wanted = ports[variable];
  const isFree = before.isFree ?? isPortFree;
  const preferred = chosenPorts.has(variable) ? wanted : (before.former[variable] ?? wanted);
  const port = await chooseFreePorts(preferred === 0 ? anyStart() : preferred, count, isFree);
  if (port === preferred || preferred === 0) return port;
  const range = count === 1 ? `port ${preferred} is` : `one of the ports ${preferred}-${preferred + count - 1} is`;
  if (chosenPorts.has(variable)) throw new SetupError(`${range} taken by another program, and ${variable}=${preferred} asks for it`, `End what listens there, or set ${variable} to another port, or unset it.`);
  before.onProgress(`${range} taken: using ${count === 1 ? port : `${port}-${port + count - 1}`} (${variable} sets it)`);
  return port;
}
