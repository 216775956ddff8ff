/** Who may do what on NATS, in words, from the lists that the server's users are made from. Pure. */
import { type Permissions, rolePermissions, roleUsers, tenantPermissions } from "#shared/messaging/permissions.ts";
import { REPLAY_READERS } from "#shared/messaging/topology.ts";

const COLUMNS = ["publishes", "takes and acks", "reads of", "else", "listens to"] as const;
interface Right {
  readonly column: (typeof COLUMNS)[number];
  readonly text: string;
}
/** The first that fits; `null`: told of everybody, below the table. What fits none is told as it is. */
const WORDS: readonly (readonly [RegExp, (...parts: string[]) => Right | null])[] = [
  [/^\$JS\.API\.CONSUMER\.(?:CREATE|DELETE|MSG\.NEXT)\.(\w+)\.replay-\d(?:\..*)?$/, (stream = "") => ({ column: "else", text: `makes, reads and removes consumers \`${REPLAY_READERS[0] ?? ""}\` to \`${REPLAY_READERS.at(-1) ?? ""}\` of ${stream}` })],
  [/^\$JS\.(API\.(INFO|STREAM\.INFO\..*|CONSUMER\.INFO\..*)|FC\..*)$/, () => null],
  [/^\$JS\.API\.CONSUMER\.MSG\.NEXT\.(\w+)\.([^*]+)$/, (stream = "", durable = "") => ({ column: "takes and acks", text: `${stream} as \`${durable}\`` })],
  [/^\$JS\.ACK\.(\w+)\.([^*]+)\.>$/, (stream = "", durable = "") => ({ column: "takes and acks", text: `${stream} as \`${durable}\`` })],
  [/^\$JS\.API\.CONSUMER\.MSG\.NEXT\.([\w-]+)\.\*$/, (stream = "") => ({ column: "else", text: `makes and reads consumers of ${stream}` })],
  [/^\$JS\.API\.CONSUMER\.CREATE\.([\w-]+)\.\*(\..*)?$/, (stream = "") => ({ column: "else", text: `makes and reads consumers of ${stream}` })],
  [/^\$JS\.API\.CONSUMER\.CREATE\.([\w-]+)\.([\w-]+)(\..*)?$/, (_stream, durable = "") => ({ column: "else", text: `makes \`${durable}\`` })],
  [/^\$JS\.API\.STREAM\.MSG\.GET\.([\w-]+)$/, (stream = "") => ({ column: "reads of", text: stream })],
  [/^\$JS\.API\.DIRECT\.GET\.\w+\.(.*)$/, (subject = "") => ({ column: "reads of", text: `\`${subject}\` (direct gets)` })],
  [/^\$JS\.API\.>$/, () => ({ column: "else", text: "all of JetStream's API: streams, consumers, what is stored" })],
  [/^\$KV\.([\w-]+)\.(.*)$/, (bucket = "", key = "") => ({ column: "else", text: `writes \`${key}\` of ${bucket}` })],
];

const COMMAND_TITLES: Readonly<Partial<Record<string, string>>> = { admin: "admin (`inferctl`)", replay: "replay (`inferctl replay`, `export`)", "replay-live": "replay-live (`inferctl replay --mode live`)", "replay-shadow": "replay-shadow (`inferctl replay --mode shadow`)" };

/** One row per user: of a tenant, and of each role, with a worker of one tier. */
export function natsPermissionsTable(): string {
  const options = { prefix: "infer", tiers: ["<tier>"] };
  const users: [string, Permissions][] = [["tenant", tenantPermissions(options.prefix, "<tenant>")], ...roleUsers(options.tiers).map((role): [string, Permissions] => [COMMAND_TITLES[role] ?? role.replace(/^worker-.*/, "worker of a tier"), rolePermissions(role, options)])];
  const rows = users.map(([name, permissions]) => `| ${name} | ${cellsOf(permissions).join(" | ")} |`);
  return [`| who | ${COLUMNS.join(" | ")} |`, `|---${"|---".repeat(COLUMNS.length)}|`, ...rows].join("\n");
}

function cellsOf({ publish, subscribe }: Permissions): string[] {
  const rights = [...publish.map(rightOf), ...subscribe.filter((subject) => !subject.startsWith("_INBOX.")).map((subject): Right => ({ column: "listens to", text: `\`${subject}\`` }))];
  return COLUMNS.map((column) => [...new Set(rights.flatMap((right) => (right?.column === column ? [right.text] : [])))].join(", "));
}

function rightOf(subject: string): Right | null {
  for (const [pattern, words] of WORDS) {
    const found = pattern.exec(subject);
    if (found !== null) return words(...found.slice(1));
  }
  return { column: "publishes", text: `\`${subject}\`` };
}
