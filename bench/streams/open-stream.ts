import { once } from 'node:events';
import { type Agent, type IncomingMessage, request } from 'node:http';

/** One streamed answer, as a client sees it. */
export interface OpenStream {
  /** From sending the request to the first byte of the body, in milliseconds. */
  readonly firstChunkMs: Promise<number>;
  /** Once the connection is free: whether the answer had come to its end. */
  readonly isWhole: Promise<boolean>;
  hangUp(): void;
}

const MESSAGE = 'Hello there';
const CHAT = JSON.stringify({ message: MESSAGE });
const GEMINI = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: MESSAGE }] }] });
/** In the last event of Google's dialect and of ours. */
const END_MARK = '"finishReason"';

/** @param url of `/api/chat`, or where Gemini's protocol streams */
export function openStream(url: string, agent: Agent): OpenStream {
  const askedAt = performance.now();
  const body = url.endsWith('/api/chat') ? CHAT : GEMINI;
  const headers = {
    accept: 'text/event-stream',
    'content-type': 'application/json',
    'content-length': body.length,
  };
  const sent = request(url, { agent, method: 'POST', headers });
  const answered = once(sent, 'response');
  sent.end(body);
  return {
    firstChunkMs: answered.then(([response]) => firstByteOf(response, askedAt)),
    isWhole: answered.then(([response]) => isWhole(response)),
    hangUp: () => void sent.destroy(),
  };
}

async function firstByteOf(response: IncomingMessage, askedAt: number): Promise<number> {
  await once(response, 'data');
  return performance.now() - askedAt;
}

function isWhole(response: IncomingMessage): Promise<boolean> {
  let last = '';
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    last = text;
  });
  return new Promise((resolve) => {
    // A stream that breaks off is reported by the close that follows.
    response.on('error', () => {});
    response.once('close', () => resolve(response.complete && last.includes(END_MARK)));
  });
}
