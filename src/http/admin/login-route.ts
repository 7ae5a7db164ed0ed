import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Redact } from '../../shared/redact.ts';
import { validate } from '../json-body.ts';
import { sendJson } from '../send-json.ts';
import type { AdminAccess } from './admin-access.ts';
import { refuseOtherOrigins } from './same-origin.ts';

const MAX_NAME = 60;

export const loginBody = z
  .strictObject({
    token: z
      .string()
      .min(1, 'Must not be empty.')
      .max(1000)
      .meta({ description: '`ADMIN_TOKEN`.' }),
    name: z.string().trim().max(MAX_NAME).optional().meta({
      description: 'Who it is: stands in the log beside whatever is done to a key.',
    }),
  })
  .meta({ title: 'LoginRequest' });

/** `POST /api/login`: the admin token for a cookie, so that a browser need not keep it. */
export function loginRoute({ checkToken, cookie }: AdminAccess, redact: Redact): RequestHandler {
  return async function postLogin(request, response) {
    const { token, name = '' } = validate(loginBody, request.body);
    refuseOtherOrigins(request);
    await checkToken(request, token);
    await cookie.give(request, response, name === '' ? null : redact(name));
    sendJson(response, 200, { status: 'ok' });
  };
}

/** `POST /api/logout` */
export function logoutRoute({ cookie }: AdminAccess): RequestHandler {
  return function postLogout(request, response) {
    refuseOtherOrigins(request);
    cookie.take(request, response);
    sendJson(response, 200, { status: 'ok' });
  };
}
