import type { Request, RequestHandler, Response } from 'express';
import { ServiceError } from '../failover/service-error.ts';
import type { AvatarSession } from '../services/avatar-session.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { bearerIn } from './bearer.ts';
import { callerOf } from './caller.ts';
import { answerErrorsIn, type ErrorForm } from './error-form.ts';
import { HttpError } from './http-error.ts';
import { JSON_TYPE, sendText } from './send-json.ts';
import { rememberTold } from './told.ts';

/**
 * As Anam writes its own. That nothing is left is a 429 there, as its SDK expects it: what begins with
 * a 5 it would try again.
 */
export const ANAM_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  text: ({ message }) => JSON.stringify({ error: message, message }),
  status: ({ code, status }) => (code === 'all_keys_exhausted' ? 429 : status),
};

/** `POST /api/anam/v1/engine/session`: what the avatar's SDK calls to start, as if we were Anam. */
export function sessionStartRoute(avatar: AvatarSession): RequestHandler {
  return async function postSession(request, response) {
    const token = bearerIn(request);
    if (token === null) throw new HttpError(401, 'unauthorized', 'Session token is missing.');
    const caller = callerOf(request, response);
    try {
      sendWords(response, await avatar.start({ token, body: bodyOf(request) }, caller));
    } catch (error) {
      const words = wordsIn(error);
      if (words !== null) answerErrorsIn(response, { ...ANAM_ERRORS, text: () => words.body });
      throw error;
    }
  };
}

/** `POST /api/anam/v1/metrics/client`: what the SDK tells Anam of how its connections fare. */
export function sessionMetricsRoute(avatar: AvatarSession): RequestHandler {
  return async function postMetrics(request, response) {
    const body = bodyOf(request);
    sendWords(response, await avatar.passMetrics(body, callerOf(request, response)));
  };
}

function sendWords(response: Response, { status, type, body }: ProviderWords): void {
  if (status >= 400) rememberTold(response, { code: 'refused_by_anam' });
  sendText(response, status, type, body);
}

const bodyOf = ({ body }: Request) => (Buffer.isBuffer(body) && body.length > 0 ? body : NOTHING);

const NOTHING = Buffer.from('{}');

/** Why the last account refused, where that is why nothing is left: the SDK tells spent minutes from busy slots. */
function wordsIn(error: unknown): ProviderWords | null {
  const isSpent = error instanceof ServiceError && error.code === 'all_keys_exhausted';
  const refusal = isSpent && error.cause instanceof UpstreamError ? error.cause.refusal : null;
  return refusal?.status === 429 ? refusal : null;
}
