import type { ServerResponse } from 'node:http';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** One write, and no ETag, which nobody would ever revalidate. */
export const sendJson = (response: ServerResponse, status: number, body: unknown): void =>
  sendText(response, status, JSON_TYPE, JSON.stringify(body));

export function sendText(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
): void {
  const bytes = Buffer.from(text);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length });
  response.end(bytes);
}
