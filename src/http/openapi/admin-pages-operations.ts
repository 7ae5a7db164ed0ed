import { ADMIN_REFUSALS, ADMIN_SECURITY } from './admin-only.ts';
import { OURS } from './error-bodies.ts';
import type { Answer, Operation } from './operation.ts';
import { html, page, plain } from './page-answers.ts';
import { refusals } from './refusals.ts';

/** The pages for whoever is on call. Two are open: they hold nothing, and ask for what they show. */
export const adminPagesOperations = (): Operation[] => [
  {
    method: 'get',
    path: '/login',
    id: 'getLogin',
    tag: 'On call',
    summary: 'Log in on a page',
    answers: [...page('A form for the admin token.'), ...anybodyRefused()],
  },
  {
    method: 'get',
    path: '/dashboard',
    id: 'getDashboard',
    tag: 'On call',
    summary: 'Watch the keys on a page, and act on them',
    security: ADMIN_SECURITY,
    answers: [
      ...page('A page on which the keys can be seen, parked and released.'),
      TO_LOGIN,
      ...refusals([OURS], ADMIN_REFUSALS),
    ],
  },
  {
    method: 'get',
    path: '/playground',
    id: 'getPlayground',
    tag: 'On call',
    summary: 'Try the chat and the avatar on a page',
    answers: [...page('A page on which one can chat and start a session.'), ...anybodyRefused()],
  },
];

const SENT = 'See Other. Redirecting to /login';

const TO_LOGIN: Answer = {
  status: 303,
  description: 'A browser that has not logged in is sent to the form.',
  headers: ['location'],
  content: [html(`<!DOCTYPE html><p>${SENT}</p>`), plain(SENT)],
};

function anybodyRefused(): Answer[] {
  return refusals([OURS], ['method_not_allowed', 'internal_error']);
}
