import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import type { Chat } from '../services/chat.ts';
import type { ChatChunk, ChatFinish } from '../shared/chat.ts';
import type { Clock } from '../shared/clock.ts';
import { callerOf } from './caller.ts';
import { aiSdk, isAiSdk } from './dialects/ai-sdk.ts';
import { anamLlm, isAnamLlm } from './dialects/anam-llm.ts';
import type { Dialect, Frames } from './dialects/dialect.ts';
import { simple } from './dialects/simple.ts';
import { sendJson, sent, setAnsweredBy, write } from './reply.ts';

/** `POST /api/chat` speaks three dialects, told apart by the shape of the body alone. */
export function chatDialectOf(request: Request): Dialect {
  if (isAiSdk(request)) return aiSdk;
  return isAnamLlm(request) ? anamLlm : simple;
}

/** One chat turn: read in the dialect of its caller, answered, and written as the caller expects it. */
export function answerChat(
  chat: Chat,
  dialectOf: (request: Request) => Dialect,
  clock: Clock,
): RequestHandler {
  return async function postChat(request, response) {
    const dialect = dialectOf(request);
    response.locals.errorForm = dialect.errors;
    const { request: asked, answer } = dialect.read(request);
    const caller = callerOf(response);
    const facts = { requestId: caller.requestId, now: clock.now() };
    if (answer.kind === 'whole') {
      const reply = await chat.reply(asked, caller);
      setAnsweredBy(response, reply);
      sendJson(response, 200, answer.body(reply, facts));
      return;
    }
    const { chunks, ...answeredBy } = await chat.stream(asked, caller);
    setAnsweredBy(response, answeredBy);
    const frames = answer.frames({ ...facts, model: answeredBy.model });
    response.locals.failInStream = frames.fail;
    await sendStream(response, frames, chunks, clock);
  };
}

/**
 * Writes an answer as it comes. The provider is not read while the client does not read; leaving the
 * loop ends the call to the provider.
 */
async function sendStream(
  response: ServerResponse,
  frames: Frames,
  chunks: AsyncIterable<ChatChunk>,
  clock: Clock,
): Promise<void> {
  const keepAlive = startKeepAlive(response, frames.keepAlive, clock);
  let ahead = frames.begin;
  let finish: ChatFinish | null = null;
  try {
    for await (const chunk of chunks) {
      if (!response.headersSent) response.writeHead(200, frames.headers);
      await write(response, ahead + frames.piece(chunk), clock);
      ahead = '';
      finish = chunk.finish ?? finish;
    }
    response.end(finish === null ? '' : frames.end(finish));
    await sent(response, clock);
  } finally {
    keepAlive.stop();
  }
}

/** Shorter than the idle limits of known proxies. */
const KEEP_ALIVE_MS = 15_000;

function startKeepAlive(response: ServerResponse, comment: string | null, clock: Clock) {
  if (comment === null) return { stop() {} };
  let timer = clock.after(KEEP_ALIVE_MS, sendComment);
  function sendComment(): void {
    if (isWritable(response)) response.write(comment);
    timer = clock.after(KEEP_ALIVE_MS, sendComment);
  }
  return { stop: () => timer.cancel() };
}

const isWritable = ({ headersSent, writableEnded, writableNeedDrain }: ServerResponse) =>
  headersSent && !writableEnded && !writableNeedDrain;

/**
 * `GET /api/chat/{id}/stream`: a page with `useChat({resume: true})` asks at each load whether it can join
 * a running answer. It never can: an answer ends with its connection.
 */
export const resumeChat: RequestHandler = (_request, response) => {
  response.writeHead(204).end();
};

/** Stands before the parser, which keeps nothing of a body that it refuses. */
export const keepBeginning: RequestHandler = (request, response, next) => {
  request.once('data', (chunk: Buffer) => {
    response.locals.beginning = chunk;
  });
  next();
};

/** A body that was not parsed has no shape, but its beginning may show the dialect for the error. */
export const guessErrorForm = (clock: Clock): ErrorRequestHandler =>
  async function setGuessedErrorForm(error, request, response, next) {
    if (request.body === undefined) {
      const beginning = response.locals.beginning ?? (await firstChunkOf(request, clock));
      if (LISTS_MESSAGES.test(beginning?.toString('latin1') ?? '')) {
        response.locals.errorForm = aiSdk.errors;
      }
    }
    next(error);
  };

/** In the JSON itself; within a text its quotes would be escaped. */
const LISTS_MESSAGES = /(?<!\\)"messages"\s*:\s*\[/;
/** How long a refusal waits for the beginning of a body. */
const MAX_WAIT_MS = 100;

async function firstChunkOf(request: IncomingMessage, clock: Clock): Promise<Buffer | null> {
  if (request.complete || request.destroyed) return null;
  const first = await new Promise<Buffer | null>((resolve) => {
    const limit = clock.after(MAX_WAIT_MS, () => finish(null));
    const finishEmpty = () => finish(null);
    function finish(chunk: Buffer | null): void {
      limit.cancel();
      request.off('data', finish);
      request.off('end', finishEmpty);
      request.off('close', finishEmpty);
      resolve(chunk);
    }
    request.on('data', finish);
    request.on('end', finishEmpty);
    request.on('close', finishEmpty);
  });
  // The rest is read and dropped.
  request.resume();
  return first;
}
