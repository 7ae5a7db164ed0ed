import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { ServiceError } from '../failover/service-error.ts';
import type { AvatarSession } from '../services/avatar.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { callerOf } from './access.ts';
import {
  bodyOrNone,
  invalidField,
  jsonObject,
  linked,
  readBytes,
  readJsonBody,
  validate,
} from './body.ts';
import { bearerIn } from './caller.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { JSON_TYPE, sendJson, sendText } from './reply.ts';
import { jsonAnswer, type RequestBody, type Route } from './route.ts';

export interface AvatarRoutesOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring its own persona. */
  readonly allowClientPersona: boolean;
  /** In bytes. */
  readonly maxBodyBytes: number;
  /** For one client address, of a name and a number of requests a minute. */
  readonly limit: (name: string, perMinute: number) => RequestHandler[];
  readonly sessionsPerMinute: number;
}

/** Anam's SDK reports about each connection several times. */
const METRICS_PER_SESSION = 20;

export function avatarRoutes(options: AvatarRoutesOptions): Route[] {
  const { avatar, allowClientPersona, maxBodyBytes, limit, sessionsPerMinute } = options;
  const readSessionBody = readBytes(maxBodyBytes, { inflates: true, isJson: false });
  const asAnam = {
    method: 'post',
    tag: 'Avatar',
    usesKeys: true,
    passesOn: 'Anam',
    errorForms: [ANAM_ERRORS],
  } as const;
  return [
    {
      method: 'post',
      path: '/api/anam/session-token',
      aliases: ['/api/session-token'],
      id: 'createSessionToken',
      tag: 'Avatar',
      summary: 'Get a token for one avatar session',
      description: TOKENS,
      usesKeys: true,
      limit: limit('sessions', sessionsPerMinute),
      body: {
        schema: tokenBody,
        isRequired: false,
        examples: {
          ourPersona: { summary: "The server's persona", value: {} },
          ...(allowClientPersona ? CALLERS_PERSONA : {}),
        },
      },
      answer: jsonAnswer('The token, good for an hour. It must not be cached.', sessionToken),
      errors: ['model_unavailable'],
      isUncached: true,
      handlers: [readJsonBody(maxBodyBytes), postSessionToken(avatar, allowClientPersona)],
    },
    {
      ...asAnam,
      path: '/api/anam/v1/engine/session',
      id: 'startSession',
      summary: 'Start the session of a token',
      description:
        "Anam's SDK calls this, with this server as its `baseUrl`. When the account of the token has nothing left, the same persona starts on another.",
      auth: 'session',
      limit: limit('session-starts', sessionsPerMinute),
      body: anamBody('SessionRequest', { clientMetadata: { client: 'js-sdk', version: '4.27.0' } }),
      answer: jsonAnswer('The session has started.', linked('Session', ANAM_DOCS)),
      errors: ['model_unavailable'],
      isUncached: true,
      handlers: [readSessionBody, postSession(avatar)],
    },
    {
      ...asAnam,
      path: '/api/anam/v1/metrics/client',
      id: 'passMetrics',
      summary: "Pass on what Anam's SDK measures",
      limit: limit('session-metrics', sessionsPerMinute * METRICS_PER_SESSION),
      body: anamBody('ClientMetrics', {
        metrics: [{ name: 'client_metric_connection', value: 1, tags: {} }],
      }),
      answer: jsonAnswer('Anam has taken it.', z.looseObject({})),
      handlers: [readSessionBody, postMetrics(avatar)],
    },
  ];
}

const ANAM_DOCS = 'https://docs.anam.ai';

const anamBody = (id: string, value: object): RequestBody => ({
  schema: linked(id, ANAM_DOCS),
  isRequired: false,
  examples: { sdk: { value } },
});

const TOKENS = `The server decides who the avatar is (\`ANAM_PERSONA_ID\` or \`ANAM_PERSONA_CONFIG\`); with
\`ALLOW_CLIENT_PERSONA=true\` the caller may bring a persona.`;

const CALLERS_PERSONA = {
  clientPersona: {
    summary: "The caller's persona",
    value: {
      personaConfig: { name: 'Ada', avatarId: 'an-avatar', voiceId: 'a-voice', llmId: 'a-model' },
    },
  },
};

const sessionToken = z
  .strictObject({ sessionToken: z.string().min(1) })
  .meta({ id: 'SessionToken' });

const tokenBody = z
  .strictObject({
    personaConfig: jsonObject
      .refine((config) => Object.keys(config).length > 0, 'Must not be empty.')
      .refine((config) => !namesPrototype(config), 'Has a field that no persona can have.')
      .optional()
      .meta({
        minProperties: 1,
        description:
          "The caller's own persona, in Anam's form. Refused unless `ALLOW_CLIENT_PERSONA` is set.",
      }),
  })
  .meta({
    id: 'SessionTokenRequest',
    description: 'Empty, or nothing at all, for our persona.',
  });

function postSessionToken(avatar: AvatarSession, allowClientPersona: boolean): RequestHandler {
  return async function mintSessionToken(request, response) {
    const { personaConfig } = validate(tokenBody, bodyOrNone(request));
    if (personaConfig !== undefined && !allowClientPersona) throw personaNotAllowed();
    const sessionToken = await avatar.mintToken(personaConfig ?? null, callerOf(response));
    sendJson(response, 200, { sessionToken });
  };
}

const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

function namesPrototype(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([name, part]) => PROTOTYPE_NAMES.has(name) || namesPrototype(part),
  );
}

const personaNotAllowed = () =>
  invalidField(
    'personaConfig',
    'The persona is chosen by the server (ALLOW_CLIENT_PERSONA is off).',
  );

/** Anam's form. Exhaustion is a 429 there: Anam's SDK would repeat a request that got a 5xx. */
export const ANAM_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  schema: z
    .looseObject({ error: z.string(), message: z.string().optional() })
    .meta({ id: 'AnamError' }),
  text: ({ message }) => JSON.stringify({ error: message, message }),
  status: ({ code, status }) => (code === 'all_keys_exhausted' ? 429 : status),
};

/** For Anam's SDK, which takes us for Anam. */
function postSession(avatar: AvatarSession): RequestHandler {
  return async function startSession(request, response) {
    const token = bearerIn(request);
    if (token === null) throw new HttpError('unauthorized', 'Session token is missing.');
    const caller = callerOf(response);
    try {
      passOn(response, await avatar.start({ token, body: bodyOf(request) }, caller));
    } catch (error) {
      const refusal = lastRefusalIn(error);
      if (refusal !== null) {
        response.locals.errorForm = { ...ANAM_ERRORS, text: () => refusal.body };
      }
      throw error;
    }
  };
}

function postMetrics(avatar: AvatarSession): RequestHandler {
  return async function passMetrics(request, response) {
    passOn(response, await avatar.passMetrics(bodyOf(request), callerOf(response)));
  };
}

function passOn(response: Response, { status, type, body }: ProviderWords): void {
  if (status >= 400) response.locals.outcome = { code: 'refused_by_anam' };
  sendText(response, status, type, body);
}

const bodyOf = ({ body }: Request) => (Buffer.isBuffer(body) && body.length > 0 ? body : NOTHING);

const NOTHING = Buffer.from('{}');

/** Anam's own refusal of the last account, if all are spent: its SDK distinguishes spent minutes from busy slots. */
function lastRefusalIn(error: unknown): ProviderWords | null {
  const isSpent =
    error instanceof ServiceError &&
    (error.code === 'all_keys_exhausted' || error.code === 'rate_limited');
  const refusal = isSpent && error.cause instanceof UpstreamError ? error.cause.refusal : null;
  return refusal?.status === 429 ? refusal : null;
}
