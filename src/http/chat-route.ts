import type { IncomingMessage } from 'node:http';
import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
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

const beginnings = new WeakMap<IncomingMessage, Buffer>();

/** Directly before the parser, which keeps nothing of a body that it refuses. */
export const keepBeginning: RequestHandler = (request, _response, next) => {
  request.once('data', (chunk: Buffer) => beginnings.set(request, chunk));
  next();
};

/** What was not parsed has no shape, but its beginning may still tell who sent it. */
export const speakAsUnreadCaller: ErrorRequestHandler = async (error, request, response, next) => {
  if (request.body === undefined && LISTS_MESSAGES.test(await beginningOf(request))) {
    answerErrorsIn(response, aiSdk.errors);
  }
  next(error);
};

/** As it stands in the JSON itself; within a text its quotes would be escaped. */
const LISTS_MESSAGES = /(?<!\\)"messages"\s*:\s*\[/;

function beginningOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    const kept = beginnings.get(request);
    const isOver = request.complete || request.destroyed;
    if (kept !== undefined || isOver) {
      resolve(kept?.toString('latin1') ?? '');
      return;
    }
    request.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')));
    request.once('end', () => resolve(''));
    request.once('close', () => resolve(''));
  });
}
