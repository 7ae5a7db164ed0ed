import type { ServerResponse } from 'node:http';
import type { Clock } from '../src/shared/clock.ts';
import type { StandinCall } from './call-log.ts';

/** An answer as data: what goes over the wire, and when. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A whole body, sent in one write, or the steps of a body that takes its time. */
  readonly body: string | readonly Step[];
  /** Before the first byte, in the clock's milliseconds. Default 0. */
  readonly delayMs?: number;
}

/** After the last step the answer ends; `hang` and `cut` are never followed by another. */
export type Step =
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Sends nothing more and keeps the connection open. */
  | { readonly kind: 'hang' }
  /** Ends the connection: a reset when nothing was sent, else after what was sent. */
  | { readonly kind: 'cut' };

export const JSON_TYPE = { 'content-type': 'application/json; charset=UTF-8' };

export const jsonReply = (
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Reply => ({ status, headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) });

export const htmlReply = (status: number, title: string, sentence: string): Reply => ({
  status,
  headers: { 'content-type': 'text/html; charset=UTF-8' },
  body: `<!DOCTYPE html>\n<html lang=en>\n<title>${title}</title>\n<p>${sentence}\n</html>\n`,
});

/** Google's page for an address at which there is no method. */
export const NOT_FOUND_PAGE = htmlReply(
  404,
  'Error 404 (Not Found)!!1',
  'The requested URL was not found on this server. That is all we know.',
);

/**
 * Sends a reply. A client that hangs up cancels what is still to come.
 *
 * @param call gets the status as the head goes out; null for a call that is not logged
 */
export function sendReply(
  reply: Reply,
  response: ServerResponse,
  clock: Clock,
  call: StandinCall | null,
): void {
  const { status, headers, body, delayMs = 0 } = reply;
  const sendHead = (length: Readonly<Record<string, number>> = {}) => {
    if (response.headersSent) return;
    if (call !== null) call.status = status;
    response.writeHead(status, { ...CORS, ...headers, ...length });
  };
  const cut = () => {
    if (call !== null) call.isCut = true;
    if (response.headersSent) response.socket?.destroySoon();
    else response.socket?.resetAndDestroy();
  };
  const playFrom = (index: number, steps: readonly Step[]): void => {
    const step = steps[index];
    if (step?.kind === 'hang') return;
    if (step?.kind === 'cut') {
      cut();
      return;
    }
    sendHead();
    if (step === undefined) response.end();
    else if (step.kind === 'wait')
      waitFor(step.ms, response, clock, () => playFrom(index + 1, steps));
    else write(step.text, response, () => playFrom(index + 1, steps));
  };
  const start = () => {
    if (typeof body !== 'string') return playFrom(0, body);
    sendHead({ 'content-length': Buffer.byteLength(body) });
    response.end(body);
  };
  if (delayMs > 0) waitFor(delayMs, response, clock, start);
  else start();
}

/** The browser SDK calls Anam itself. */
const CORS = { 'access-control-allow-origin': '*' };

/** Continues when the client has room for more. */
function write(text: string, response: ServerResponse, then: () => void): void {
  if (response.write(text)) then();
  else response.once('drain', then);
}

function waitFor(ms: number, response: ServerResponse, clock: Clock, then: () => void): void {
  const timer = clock.after(ms, () => {
    response.off('close', cancel);
    then();
  });
  const cancel = () => timer.cancel();
  response.once('close', cancel);
}
