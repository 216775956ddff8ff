/**
 * The little of MIME that the labelled mails need: headers, the readable part, and its transfer encoding. Parts that
 * are not text (attachments, images) are left out. Malformed mail, of which there is much among spam, is read as it
 * comes: nothing here throws.
 */
import { htmlText } from "./htmlText.ts";

/** Header names in lower case; of a repeated header the first one. Folded lines are joined. */
interface Entity {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

const MAX_DEPTH = 5;

export function parseEntity(raw: string): Entity {
  const text = raw.replace(/\r\n?/g, "\n");
  const end = text.startsWith("\n") ? 0 : text.indexOf("\n\n");
  const head = end === -1 ? text : text.slice(0, end);
  const headers = new Map<string, string>();
  for (const line of head.replace(/\n[ \t]+/g, " ").split("\n")) {
    const field = /^([!-9;-~]+):[ \t]*(.*)$/.exec(line);
    const name = field?.[1]?.toLowerCase();
    if (name !== undefined && !headers.has(name)) headers.set(name, field?.[2] ?? "");
  }
  return { headers, body: end === -1 ? "" : text.slice(end).replace(/^\n{1,2}/, "") };
}

/** The readable text of a mail. Of alternatives the plain text is taken, and the HTML when there is none. */
export function readableText(entity: Entity, depth = 0): string {
  const type = (entity.headers.get("content-type") ?? "text/plain").toLowerCase();
  if (type.startsWith("multipart/")) return multipartText(entity, type, depth);
  if (type.startsWith("message/rfc822") && depth < MAX_DEPTH) return readableText(parseEntity(entity.body), depth + 1);
  const isAttachment = /^attachment/i.test(entity.headers.get("content-disposition") ?? "");
  if (isAttachment || (/^[a-z-]+\/[\w.+-]/.test(type) && !type.startsWith("text/") && !type.startsWith("message/"))) return "";
  const text = decodeBody(entity);
  const isHtml = type.startsWith("text/html") || /^\s*(?:<!doctype html|<html\b)/i.test(text);
  return isHtml ? htmlText(text) : text;
}

function multipartText(entity: Entity, type: string, depth: number): string {
  const boundary = /boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))/i.exec(entity.headers.get("content-type") ?? "");
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined || depth >= MAX_DEPTH) return decodeBody(entity);
  const parts = splitParts(entity.body, mark);
  // No such boundary in the body: a broken mail, whose whole body is what a reader would see.
  if (parts.length === 0) return htmlText(decodeBody(entity));
  const texts = parts.map((part) => readableText(parseEntity(part), depth + 1)).filter((text) => text.trim() !== "");
  return type.startsWith("multipart/alternative") ? (texts[0] ?? "") : texts.join("\n");
}

function splitParts(body: string, mark: string): string[] {
  const parts: string[] = [];
  let current: string[] | undefined;
  for (const line of body.split("\n")) {
    const isMark = line.startsWith(`--${mark}`);
    if (!isMark) current?.push(line);
    else {
      if (current !== undefined) parts.push(current.join("\n"));
      current = line.startsWith(`--${mark}--`) ? undefined : [];
    }
  }
  if (current !== undefined && current.length > 0) parts.push(current.join("\n"));
  return parts;
}

function decodeBody({ headers, body }: Entity): string {
  const encoding = (headers.get("content-transfer-encoding") ?? "").trim().toLowerCase();
  const charset = /charset\s*=\s*"?([\w.:-]+)/i.exec(headers.get("content-type") ?? "")?.[1] ?? "latin1";
  if (encoding === "base64") return decodeBytes(Buffer.from(body, "base64"), charset);
  if (encoding === "quoted-printable") return decodeBytes(quotedPrintable(body), charset);
  return body;
}

function quotedPrintable(text: string): Buffer {
  const joined = text.replace(/[ \t]*=[ \t]*\n/g, "");
  // Characters beyond Latin-1 cannot occur here; where the data set has a replacement character, "?" stands for it.
  const bytes = joined.replace(/[^\x00-\xff]/g, "?").replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

function decodeBytes(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return bytes.toString("latin1"); // a charset nobody knows
  }
}

/** `=?charset?Q?...?=` and `=?charset?B?...?=` in a header. */
export function decodeHeader(value: string): string {
  const joined = value.replace(/\?=\s+=\?/g, "?==?");
  return joined.replace(/=\?([\w-]+)\?([bq])\?([^?]*)\?=/gi, (_, charset: string, kind: string, text: string) =>
    decodeBytes(kind.toLowerCase() === "b" ? Buffer.from(text, "base64") : quotedPrintable(text.replace(/_/g, " ")), charset));
}
