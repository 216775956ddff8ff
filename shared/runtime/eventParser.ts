/**
 * Server-sent events as the HTML standard has them, as far as models' servers use them: only `data` counts. Our own, not
 * eventsource-parser: it takes text, so checked UTF-8 and the cap would be as much code around it as the parser is.
 */
const LINE_END = /\r\n|[\r\n]/;

export interface EventParser {
  /** Data of the events that these bytes end, in order. Throws `RangeError` beyond the cap and `TypeError` for what is not UTF-8. */
  push(bytes: Uint8Array): string[];
  /** At the end of the stream: data of an event that lacks only its blank line. */
  end(): string[];
}

/** `mostUnits`: UTF-16 units that one event may have, its comments not counted. */
export function makeEventParser(mostUnits: number): EventParser {
  const utf8 = new TextDecoder("utf-8", { fatal: true }); // a byte order mark is skipped
  let line = "", endedInCr = false;
  let data: string[] = [], size = 0;

  /** Data of the event that this line ends, if it does. */
  const takeLine = (whole: string): string[] => {
    if (whole === "") {
      const event = data;
      data = [];
      size = 0;
      return event.length === 0 ? [] : [event.join("\n")];
    }
    const value = /^data(?:: ?|$)/.exec(whole);
    if (value === null) return []; // a comment that keeps the connection alive, or another field
    const text = whole.slice(value[0].length);
    size += text.length;
    data.push(text);
    return [];
  };
  const takeText = (text: string): string[] => {
    const [head = "", ...more] = (endedInCr && text.startsWith("\n") ? text.slice(1) : text).split(LINE_END);
    if (text !== "") endedInCr = text.endsWith("\r");
    const events: string[] = [];
    line += head;
    for (const next of more) {
      events.push(...takeLine(line));
      line = next;
    }
    if (line.length + size > mostUnits) throw new RangeError(`an event is longer than ${mostUnits}`);
    return events;
  };
  return {
    push: (bytes) => takeText(utf8.decode(bytes, { stream: true })),
    end() {
      const events = takeText(utf8.decode());
      return [...events, ...takeLine(line), ...takeLine("")];
    },
  };
}
