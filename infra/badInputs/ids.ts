/** Every input that was thought of. Numbers run through the categories; 167 and 168 came later. */
const run = (letter: string, from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `${letter}-${from + i}`);

export const BAD_INPUT_IDS: readonly string[] = [
  ...run("B", 1, 40), ...run("H", 41, 72), "H-167", "H-168", ...run("N", 73, 100), ...run("M", 101, 124), ...run("C", 125, 148), ...run("R", 149, 166),
];
