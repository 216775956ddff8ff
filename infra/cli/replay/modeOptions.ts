/** Options that modes of replay share, as they were typed. What is wrong with one is thrown as `SetupError`. */
import { SetupError } from "#infra/embedded/setupError.ts";
import { BadInputFile, type InputFile, openInputFile } from "#producers/replay/inputFile.ts";
import { type NanoUsd, UsdAmount } from "#shared/contracts/money.ts";

import { EXIT_USAGE, type ParsedArguments, wrongUse } from "../command.ts";

type Values = ParsedArguments["values"];
export const textOf = (values: Values, name: string): string | undefined => (typeof values[name] === "string" ? values[name] : undefined);

export function usdOf(values: Values, name: string): NanoUsd | undefined {
  const given = textOf(values, name);
  if (given === undefined) return undefined;
  const read = UsdAmount.safeParse(given.trim() === "" ? NaN : Number(given));
  if (!read.success) throw wrongUse("replay", `--${name} must be an amount in USD, as 0.50, not ${given}`);
  return read.data;
}

/** Per second. */
export function rateOf(given: string): number {
  const rate = Number(given);
  if (given.trim() === "" || !(rate > 0 && rate <= 1e6)) throw wrongUse("replay", `--rate must be a number per second above 0, not ${given}`);
  return rate;
}

export function wholeNumberOf(values: Values, name: string, most: number): number | undefined {
  const given = textOf(values, name);
  if (given === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(given) || Number(given) > most) throw wrongUse("replay", `--${name} must be a whole number from 1 to ${most}, not ${given}`);
  return Number(given);
}

export const openInputs = (path: string): Promise<InputFile> =>
  openInputFile(path).catch((error: unknown) => {
    throw error instanceof BadInputFile ? new SetupError(error.message, "Correct the file: a line is { tenant_id, request_id, input | chat | embed }.", { exitCode: EXIT_USAGE, cause: error }) : error;
  });
