/** What is to be looked up about items, so many ahead of whoever takes them, and handed over in their order. An error comes when it is its item's turn. */
export async function* preparedInOrder<T, P>(items: readonly T[], prepare: (item: T) => Promise<P>, ahead: number): AsyncGenerator<readonly [T, P]> {
  const running: Promise<P>[] = [];
  let next = 0;
  for (const item of items) {
    for (let one = items[next]; one !== undefined && running.length < ahead; one = items[++next]) {
      const preparing = prepare(one);
      preparing.catch(() => undefined); // whoever takes it hears of it
      running.push(preparing);
    }
    yield [item, await (running.shift() as Promise<P>)];
  }
}
