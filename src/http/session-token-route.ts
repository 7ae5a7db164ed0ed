import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { AvatarSession } from '../service/avatar-session.ts';
import { callerOf } from './caller.ts';
import { invalidField, validate } from './json-body.ts';
import { jsonObject } from './json-object.ts';
import { sendJson } from './send-json.ts';

export interface SessionTokenOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring a persona of its own. */
  readonly allowClientPersona: boolean;
}

const tokenBody = z.strictObject({
  personaConfig: jsonObject
    .refine((config) => Object.keys(config).length > 0, 'Must not be empty.')
    .refine((config) => !namesPrototype(config), 'Has a field that no persona can have.')
    .optional(),
});

/** A token is a credential: neither it nor a refusal of one is to be kept by anybody. */
export const forbidCaching: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};

/** `POST /api/anam/session-token`: a token for one avatar session. */
export function sessionTokenRoute({
  avatar,
  allowClientPersona,
}: SessionTokenOptions): RequestHandler {
  return async function postSessionToken(request, response) {
    const { personaConfig } = validate(tokenBody, request.body === undefined ? {} : request.body);
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
