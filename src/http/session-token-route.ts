import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { AvatarSession } from '../services/avatar-session.ts';
import { callerOf } from './caller.ts';
import { bodyOrNone, invalidField, validate } from './json-body.ts';
import { jsonObject } from './json-object.ts';
import { sendJson } from './send-json.ts';

export interface SessionTokenOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring a persona of its own. */
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
    const caller = callerOf(request, response);
    const sessionToken = await avatar.mintToken(personaConfig ?? null, caller);
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
