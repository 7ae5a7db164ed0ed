import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { ServiceError } from '../failover/service-error.ts';
import type { AvatarSession } from '../services/avatar.ts';
import { type ProviderWords, UpstreamError } from '../shared/failure.ts';
import { bodyOrNone } from './body.ts';
import { bearerIn, callerOf } from './caller.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { JSON_TYPE, sendJson, sendText } from './reply.ts';
import { invalidField, jsonObject, validate } from './validate.ts';

export interface SessionTokenOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring its own persona. */
  readonly allowClientPersona: boolean;
}

export const tokenBody = z
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
    title: 'SessionTokenRequest',
    description: 'Empty, or nothing at all, for our persona.',
  });

/** `POST /api/anam/session-token`: a token for one avatar session. */
export function sessionTokenRoute({
  avatar,
  allowClientPersona,
}: SessionTokenOptions): RequestHandler {
  return async function postSessionToken(request, response) {
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
  text: ({ message }) => JSON.stringify({ error: message, message }),
  status: ({ code, status }) => (code === 'all_keys_exhausted' ? 429 : status),
};

/** `POST /api/anam/v1/engine/session`: the session start of Anam's SDK, which takes us for Anam. */
export function sessionStartRoute(avatar: AvatarSession): RequestHandler {
  return async function postSession(request, response) {
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

/** `POST /api/anam/v1/metrics/client`: what the SDK reports about its connections. */
export function sessionMetricsRoute(avatar: AvatarSession): RequestHandler {
  return async function postMetrics(request, response) {
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
  const isSpent = error instanceof ServiceError && error.code === 'all_keys_exhausted';
  const refusal = isSpent && error.cause instanceof UpstreamError ? error.cause.refusal : null;
  return refusal?.status === 429 ? refusal : null;
}
