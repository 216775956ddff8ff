import { describe, expect, it } from "vitest";

import { makeTurns } from "./turns.ts";

const never = new AbortController().signal;
/** Works that end when they are told to, and who has begun. */
function makeWorks() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    begun,
    work: (name: string) => () => new Promise<void>((resolve) => {
      begun.push(name);
      ends.set(name, resolve);
    }),
    end: async (name: string) => {
      ends.get(name)?.();
      await new Promise(setImmediate);
    },
  };
}

describe("turns", () => {
  it("are as many at once as there may be, over all crews", async () => {
    const { begun, work, end } = makeWorks();
    const crew = makeTurns(() => 2);
    const [a, b] = [crew(), crew()];
    void a.begin(work("a1"), never).then(() => a.begin(work("a2"), never));
    void b.begin(work("b1"), never);
    await new Promise(setImmediate);
    expect(begun).toEqual(["a1", "b1"]);
    await end("b1");
    expect(begun).toEqual(["a1", "b1", "a2"]);
  });

  it("go to the crew that runs fewest, so shares are equal however long its works take", async () => {
    const { begun, work, end } = makeWorks();
    let most = 4;
    const crew = makeTurns(() => most);
    const [slow, quick] = [crew(), crew()];
    for (const name of ["s1", "s2", "s3", "s4"]) await slow.begin(work(name), never);
    void slow.begin(work("s5"), never);
    void quick.begin(work("q1"), never).then(() => quick.begin(work("q2"), never)).then(() => quick.begin(work("q3"), never));
    await end("s1");
    await end("s2");
    expect(begun.slice(4)).toEqual(["q1", "q2"]);
    await end("q1");
    expect(begun.slice(6)).toEqual(["q3"]);
    most = 5;
    await end("q3");
    expect(begun.slice(7)).toEqual(["s5"]);
  });

  it("are taken back where there may be fewer", async () => {
    const { begun, work, end } = makeWorks();
    let most = 3;
    const only = makeTurns(() => most)();
    for (const name of ["1", "2", "3"]) await only.begin(work(name), never);
    most = 1;
    void only.begin(work("4"), never);
    await end("1");
    await end("2");
    expect(begun).toHaveLength(3);
    await end("3");
    expect(begun).toEqual(["1", "2", "3", "4"]);
  });

  it("are for others while a work rests, and its crew begins no more than may run at once", async () => {
    const { begun, work, end } = makeWorks();
    const crew = makeTurns(() => 1);
    const [limited, other] = [crew(), crew()];
    let wake = (): void => undefined;
    const pause = new Promise<void>((resolve) => { wake = resolve; });
    await limited.begin(async (rest) => {
      await rest(pause);
      await work("l1")();
    }, never);
    void limited.begin(work("l2"), never);
    await other.begin(work("o1"), never);
    wake();
    await new Promise(setImmediate);
    expect(begun).toEqual(["o1"]);
    await end("o1");
    expect(begun).toEqual(["o1", "l1"]);
    await end("l1");
    expect(begun).toEqual(["o1", "l1", "l2"]);
  });

  it("need not be waited for by a work that rests, once that is stopped", async () => {
    const stop = new AbortController();
    const crew = makeTurns(() => 1)();
    let isBack = false;
    await crew.begin(async (rest) => {
      await rest(new Promise((resolve) => { stop.signal.addEventListener("abort", () => { resolve(); }); }));
      isBack = true;
    }, stop.signal);
    stop.abort();
    await crew.done(never);
    expect(isBack).toBe(true);
  });

  it("are not waited for once that is stopped", async () => {
    const { begun, work } = makeWorks();
    const crew = makeTurns(() => 1)();
    const stop = new AbortController();
    expect(await crew.begin(work("1"), stop.signal)).toBe(true);
    const second = crew.begin(work("2"), stop.signal);
    stop.abort();
    expect([await second, await crew.begin(work("3"), stop.signal), begun]).toEqual([false, false, ["1"]]);
  });

  it("are over when the last work has ended, or when it is no longer waited for", async () => {
    const { work, end } = makeWorks();
    const crew = makeTurns(() => 2)();
    const gone = new AbortController();
    await crew.begin(work("1"), never);
    await crew.begin(work("2"), never);
    let isDone = false;
    const done = crew.done(never).then(() => { isDone = true; });
    await end("1");
    expect(isDone).toBe(false);
    await end("2");
    await done;
    await crew.begin(work("3"), never);
    const given = crew.done(gone.signal);
    gone.abort();
    await given;
    await crew.done(AbortSignal.abort());
  });
});
