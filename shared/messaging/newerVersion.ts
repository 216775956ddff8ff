import { AppError } from "#shared/contracts/errors.ts";

/** Written by a process of a later release: no mistake of its sender, and nothing that this release may guess at. Another process reads it. */
export class NewerVersion extends AppError {
  constructor(found: string, known: string) {
    super("unsupported_version", `${found} is of a later release than this process, which reads ${known}`);
  }
}

const VERSIONED = /^([a-z_]+)\.v(\d+)$/;

/** Whether a message's type is a later version of a known one: `job.v2` of `job.v1`. Pure. */
export function isNewer(found: string, known: string): boolean {
  const [, foundName, foundVersion] = VERSIONED.exec(found) ?? [], [, knownName, knownVersion] = VERSIONED.exec(known) ?? [];
  return foundName !== undefined && foundName === knownName && Number(foundVersion) > Number(knownVersion);
}
