import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { AvatarSession } from '../service/avatar-session.ts';
import { callerOf } from './caller.ts';
import { HttpError } from './http-error.ts';
import { validate } from './json-body.ts';
import { sendJson } from './send-json.ts';

export interface SessionTokenOptions {
  readonly avatar: AvatarSession;
  /** Whether the caller may bring a persona of its own. */
  readonly allowClientPersona: boolean;
}

const tokenBody = z.strictObject({
  personaConfig: z
    .record(z.string(), z.unknown())
    .refine((config) => Object.keys(config).length > 0, 'Must not be empty.')
    .optional(),
});

/** `POST /api/anam/session-token`: a token for one avatar session. It is a credential, and never cached. */
export function sessionTokenRoute({
  avatar,
  allowClientPersona,
}: SessionTokenOptions): RequestHandler {
  return async function postSessionToken(request, response) {
    response.setHeader('cache-control', 'no-store');
    const { personaConfig } = validate(tokenBody, request.body ?? {});
    if (personaConfig !== undefined && !allowClientPersona) throw personaNotAllowed();
    const caller = callerOf(request, response);
    const sessionToken = await avatar.mintToken(personaConfig ?? null, caller);
    sendJson(response, 200, { sessionToken });
  };
}

function personaNotAllowed(): HttpError {
  const message = 'The persona is chosen by the server (ALLOW_CLIENT_PERSONA is off).';
  return new HttpError(400, 'invalid_request', `personaConfig: ${message}`, {
    details: [{ path: 'personaConfig', message }],
  });
}
