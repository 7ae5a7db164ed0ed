import type { IncomingMessage } from 'node:http';
import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import type { Clock } from '../shared/clock.ts';
import { aiSdk, isAiSdk } from './dialects/ai-sdk.ts';
import { anamLlm, isAnamLlm } from './dialects/anam-llm.ts';
import type { Dialect } from './dialects/dialect.ts';
import { simple } from './dialects/simple.ts';
import { answerErrorsIn } from './error-form.ts';

/** `POST /api/chat` speaks three dialects, told apart by the shape of the body alone. */
export function chatDialectOf(request: Request): Dialect {
  if (isAiSdk(request)) return aiSdk;
  return isAnamLlm(request) ? anamLlm : simple;
}

/** Behind the parser of bodies: from here on it is known how this caller wants to be refused. */
export const speakAsCaller: RequestHandler = (request, response, next) => {
  answerErrorsIn(response, chatDialectOf(request).errors);
  next();
};

/**
 * `GET /api/chat/{id}/stream`: a page with `useChat({resume: true})` asks at each load whether an answer
 * is running that it could join. None is: an answer ends with its connection.
 */
export const resumeChat: RequestHandler = (_request, response) => {
  response.writeHead(204).end();
};

const beginnings = new WeakMap<IncomingMessage, Buffer>();

/** Directly before the parser, which keeps nothing of a body that it refuses. */
export const keepBeginning: RequestHandler = (request, _response, next) => {
  request.once('data', (chunk: Buffer) => beginnings.set(request, chunk));
  next();
};

/** What was not parsed has no shape, but its beginning may still tell who sent it. */
export const speakAsUnreadCaller = (clock: Clock): ErrorRequestHandler =>
  async function speakAsGuessed(error, request, response, next) {
    if (request.body === undefined && LISTS_MESSAGES.test(await beginningOf(request, clock))) {
      answerErrorsIn(response, aiSdk.errors);
    }
    next(error);
  };

/** As it stands in the JSON itself; within a text its quotes would be escaped. */
const LISTS_MESSAGES = /(?<!\\)"messages"\s*:\s*\[/;
/** A refusal does not wait longer for a body that it may not need. */
const PATIENCE_MS = 100;

async function beginningOf(request: IncomingMessage, clock: Clock): Promise<string> {
  const kept = beginnings.get(request);
  if (kept !== undefined || request.complete || request.destroyed) {
    return kept?.toString('latin1') ?? '';
  }
  const first = await new Promise<Buffer | null>((resolve) => {
    const limit = clock.after(PATIENCE_MS, () => finish(null));
    const nothing = () => finish(null);
    function finish(chunk: Buffer | null): void {
      limit.cancel();
      request.off('data', finish);
      request.off('end', nothing);
      request.off('close', nothing);
      resolve(chunk);
    }
    request.on('data', finish);
    request.on('end', nothing);
    request.on('close', nothing);
  });
  // The rest is read and dropped.
  request.resume();
  return first?.toString('latin1') ?? '';
}
