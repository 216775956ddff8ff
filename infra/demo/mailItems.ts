/** Mails that no local model was trained or tuned on. The label is the corpus's. */
import { heldOutMails } from "#workers/backends/local/mails.ts";

import type { DemoItem } from "./planDemo.ts";

export const mailItems = async (): Promise<DemoItem[]> =>
  (await heldOutMails()).map(({ id, group_id, input, is_spam }) => ({ id, group_id, input, task: "spam-check", scoreOf: ({ output }) => (output === (is_spam ? "spam" : "ham") ? 1 : 0) }));
