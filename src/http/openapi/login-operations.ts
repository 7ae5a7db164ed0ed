import { z } from 'zod';
import { loginBody } from '../admin/admin-routes.ts';
import { OURS } from './error-bodies.ts';
import type { Answer, Operation } from './operation.ts';
import { refusals } from './refusals.ts';

/** Stands where only whoever runs the server knows what has to. */
export const SECRET_TOKEN = 'the-admin-token-itself';

/** A browser shows the token once, and from then on its cookie. */
export const loginOperations = (): Operation[] => [
  {
    method: 'post',
    path: '/api/login',
    id: 'logIn',
    tag: 'On call',
    summary: 'Get a cookie for the admin token',
    description:
      'It is good for twelve hours, and as long as the token is the same. Programs need none: they send the token itself.',
    isLimited: true,
    body: {
      schemas: [loginBody],
      isRequired: true,
      examples: {
        named: { value: { token: SECRET_TOKEN, name: 'Ana' } },
        nameless: { value: { token: SECRET_TOKEN } },
      },
    },
    answers: [
      ok('The cookie is set.'),
      ...refusals(
        [OURS],
        [
          'invalid_request',
          'admin_token_wrong',
          'other_origin',
          'method_not_allowed',
          'over_16_kb',
          'unsupported_media_type',
          'rate_limited',
          'too_many_guesses',
          'internal_error',
        ],
      ),
    ],
  },
  {
    method: 'post',
    path: '/api/logout',
    id: 'logOut',
    tag: 'On call',
    summary: 'Have the cookie taken away',
    answers: [
      ok('The cookie is gone, if there was one.'),
      ...refusals(
        [OURS],
        [
          'other_origin',
          'method_not_allowed',
          'over_16_kb',
          'unsupported_media_type',
          'internal_error',
        ],
      ),
    ],
  },
];

const ok = (description: string): Answer => ({
  status: 200,
  description,
  headers: ['cache-control', 'set-cookie'],
  content: [
    {
      type: 'application/json',
      schema: done,
      examples: { ok: { value: { status: 'ok' } } },
    },
  ],
});

const done = z.strictObject({ status: z.literal('ok') }).meta({ title: 'Done' });
