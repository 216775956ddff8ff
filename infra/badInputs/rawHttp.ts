/** HTTP as bytes on a socket: for what no client would send. */
import { connect } from "node:net";

export interface RawAnswer {
  /** `null`: the connection ended without an answer. */
  readonly status: number | null;
  /** Of the first answer on the connection. */
  readonly body: string;
}

/** Sends it and reads until the server ends the connection. Rejects when it does not within `deadlineMs`. */
export function sendRaw(url: string, parts: readonly (string | Buffer)[], deadlineMs = 10_000): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => { for (const part of parts) socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part); });
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no end of the answer within ${deadlineMs} ms: ${Buffer.concat(chunks).toString().slice(0, 200)}`));
    }, deadlineMs);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => undefined); // a server that has refused does not read the rest
    socket.on("close", () => {
      clearTimeout(late);
      resolve(firstAnswerIn(Buffer.concat(chunks).toString()));
    });
  });
}

function firstAnswerIn(text: string): RawAnswer {
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? [];
  if (status === undefined) return { status: null, body: text };
  const end = text.indexOf("\r\n\r\n"), head = text.slice(0, end), rest = text.slice(end + 4);
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? rest.length);
  return { status: Number(status), body: Buffer.from(rest).subarray(0, length).toString() };
}
