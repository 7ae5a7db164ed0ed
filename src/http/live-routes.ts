import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { LiveTokens } from '../services/live-token.ts';
import { isoTime } from '../shared/clock.ts';
import { callerOf } from './access.ts';
import { bodyOrNone, readJsonBody, validate } from './body.ts';
import { HttpError } from './errors.ts';
import { sendJson } from './reply.ts';
import { errorsOfClients, jsonAnswer, type Route } from './route.ts';

export interface LiveRoutesOptions {
  /** Null where `GOOGLE_LIVE_MODEL` is not set. */
  readonly liveTokens: LiveTokens | null;
  /** In bytes. */
  readonly maxBodyBytes: number;
  /** For one client address; empty if it is off. */
  readonly limit: RequestHandler[];
  /** Recognises a client by its token. */
  readonly recogniseClient: readonly RequestHandler[];
}

export const liveRoute = ({ liveTokens, maxBodyBytes, ...options }: LiveRoutesOptions): Route => ({
  method: 'post',
  path: '/api/live/token',
  id: 'createLiveToken',
  tag: 'Live',
  summary: 'Get a token for one Live session',
  description: TOKENS,
  usesKeys: true,
  limit: options.limit,
  body: {
    schema: liveTokenBody,
    isRequired: false,
    examples: { nothing: { summary: 'The server sets everything', value: {} } },
  },
  answer: jsonAnswer('The token. It must not be cached.', liveToken),
  errors: ['not_found', 'model_unavailable', ...errorsOfClients(options.recogniseClient)],
  isUncached: true,
  handlers: [...options.recogniseClient, readJsonBody(maxBodyBytes), postLiveToken(liveTokens)],
});

const TOKENS = `An ephemeral token of Google's. With it the browser opens its own WebSocket to Gemini's
[Live API](https://ai.google.dev/gemini-api/docs/live-api). The server sets the model (\`GOOGLE_LIVE_MODEL\`) and the system prompt
(\`SYSTEM_PROMPT\`); the session can change neither, nor use tools.`;

const API_VERSION = 'v1alpha';

const liveTokenBody = z
  .strictObject({})
  .meta({ id: 'LiveTokenRequest', description: 'Empty, or nothing at all.' });

const liveToken = z
  .strictObject({
    token: z.string().min(1).meta({ description: 'In place of an API key.' }),
    model: z.string(),
    apiVersion: z
      .literal(API_VERSION)
      .meta({ description: 'The only API version that accepts such a token.' }),
    newSessionExpiresAt: z.iso.datetime().meta({
      description: 'The session must begin before this time, a minute after the request.',
    }),
    expiresAt: z.iso
      .datetime()
      .meta({ description: 'The session ends by this time, half an hour after the request.' }),
    requestId: z.string(),
  })
  .meta({ id: 'LiveToken' });

function postLiveToken(liveTokens: LiveTokens | null): RequestHandler {
  return async function mintLiveToken(request, response) {
    if (liveTokens === null) throw noLiveModel();
    validate(liveTokenBody, bodyOrNone(request));
    const { token, newSessionExpiresAt, expiresAt } = await liveTokens.mint(callerOf(response));
    sendJson(response, 200, {
      token,
      model: liveTokens.model,
      apiVersion: API_VERSION,
      newSessionExpiresAt: isoTime(newSessionExpiresAt),
      expiresAt: isoTime(expiresAt),
      requestId: response.locals.requestId,
    } satisfies z.input<typeof liveToken>);
  };
}

const noLiveModel = () =>
  new HttpError('not_found', 'There are no Live sessions here: GOOGLE_LIVE_MODEL is not set.');
