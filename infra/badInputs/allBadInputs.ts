import type { BadInput } from "./badInput.ts";
import { listedReplies } from "./backendReplies.ts";
import { listedConfigurations } from "./configurations.ts";
import { listedBodies } from "./httpBodies.ts";
import { listedRequests } from "./httpRequests.ts";
import { listedPublishes } from "./natsPublishes.ts";
import { listedReplayFiles } from "./replayFiles.ts";

export interface Category {
  readonly title: string;
  readonly inputs: readonly BadInput[];
}
const numberOf = ({ id }: BadInput): number => Number(id.slice(2));
const sorted = (inputs: readonly BadInput[]): readonly BadInput[] => inputs.toSorted((a, b) => numberOf(a) - numberOf(b));

/** All that is tested, in the order of the ids. */
export const badInputs = (): readonly Category[] => [
  { title: "Bodies, by HTTP and by NATS", inputs: sorted(listedBodies()) },
  { title: "HTTP: headers, paths, transport", inputs: sorted(listedRequests()) },
  { title: "Messages that a publisher writes to NATS", inputs: sorted(listedPublishes()) },
  { title: "Answers of models' servers", inputs: sorted(listedReplies()) },
  { title: "Configuration", inputs: sorted(listedConfigurations()) },
  { title: "Files to replay, and exports", inputs: sorted(listedReplayFiles()) },
];
