import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { overview } from '../../observability/reports.ts';
import type { UsageStats } from '../../observability/usage.ts';
import type { Redact } from '../../shared/redact.ts';
import { bearerIn } from '../access.ts';
import { readJsonBody, validate } from '../body.ts';
import type { Page } from '../page-routes.ts';
import { limitByAddress } from '../rate-limits.ts';
import { sendJson, sendText } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import {
  type AdminAccess,
  type AdminAccessOptions,
  createAdminAccess,
  refuseOtherOrigins,
} from './admin-access.ts';
import { type ClientRoutesOptions, clientRoutes } from './client-routes.ts';
import { historyRoutes } from './history-routes.ts';
import { type IncidentRoutesOptions, incidentRoutes } from './incident-routes.ts';
import { type KeyRoutesOptions, keyRoutes } from './key-routes.ts';
import { MAX_ADMIN_BODY } from './operator-note.ts';
import { usageRoutes } from './usage-routes.ts';

/** What is for the operator. Without an admin token none of it exists, nor is this file loaded. */
export interface AdminHttp extends Pick<AdminAccess, 'recognise'> {
  readonly routes: readonly Route[];
  readonly pages: readonly Page[];
  readonly turnedAway: AdminView['turnedAway'];
  readonly overBudget: AdminView['overBudget'];
  readonly requestAnswered: Metrics['requestAnswered'];
}

export interface AdminHttpOptions
  extends AdminAccessOptions,
    ClientRoutesOptions,
    KeyRoutesOptions,
    IncidentRoutesOptions {
  readonly metrics: Metrics;
  readonly usage: UsageStats;
}

export function createAdminHttp(options: AdminHttpOptions): AdminHttp {
  const access = createAdminAccess(options);
  return {
    recognise: access.recognise,
    routes: [
      ...adminRoutes(access, options),
      ...historyRoutes(access, options.view),
      ...clientRoutes(access.require, options),
      ...usageRoutes(access.require, options.usage),
    ],
    pages: adminPages(access),
    turnedAway: options.view.turnedAway,
    overBudget(client, limit) {
      options.view.overBudget(client, limit);
      options.metrics.clientRefused(client, limit);
    },
    requestAnswered: options.metrics.requestAnswered,
  };
}

/** Of one address, right or wrong; wrong tokens have a lower limit of their own. */
const LOGINS_PER_MINUTE = 30;

function adminRoutes(access: AdminAccess, options: AdminHttpOptions): Route[] {
  const { sharedStore, view, metrics, redact } = options;
  const readBody = readJsonBody(MAX_ADMIN_BODY);
  const reading = { method: 'get', tag: 'Admin', auth: 'admin', isPolled: true } as const;
  return [
    ...keyRoutes(access, options),
    {
      ...reading,
      path: '/api/overview',
      id: 'getOverview',
      summary: 'See what became of the requests, and how many keys can be used',
      description:
        'Of all instances that share one Redis, and what this one knows of the keys; at most a second old.',
      answer: jsonAnswer('The last hour, and the latest requests.', overview),
      handlers: [
        access.require,
        async (_request, response) => sendJson(response, 200, await view.overview()),
      ],
    },
    {
      ...reading,
      path: '/metrics',
      id: 'getMetrics',
      summary: 'Read the metrics for Prometheus',
      description: 'Of this process, since its start.',
      answer: { description: "Prometheus' text format.", content: { 'text/plain': z.string() } },
      handlers: [
        access.require,
        async (_request, response) =>
          sendText(response, 200, metrics.contentType, await metrics.text()),
      ],
    },
    ...incidentRoutes(access, options),
    {
      method: 'post',
      path: '/api/login',
      id: 'logIn',
      tag: 'Admin',
      summary: 'Get a cookie for the admin token',
      description:
        'It is good for twelve hours, as long as the token is the same. Programs need none: they send the token itself.',
      limit: limitByAddress('logins', LOGINS_PER_MINUTE, sharedStore),
      body: { schema: loginBody, examples: { named: { value: { token: '…', name: 'Ana' } } } },
      answer: jsonAnswer('The cookie is set.', done),
      errors: ['unauthorized'],
      isUncached: true,
      handlers: [readBody, postLogin(access, redact)],
    },
    {
      ...reading,
      path: '/api/login',
      id: 'getSession',
      summary: 'See who is logged in',
      answer: jsonAnswer('The name given at the login.', session),
      handlers: [
        access.require,
        (_request, response) =>
          sendJson(response, 200, { name: response.locals.admin?.name ?? null }),
      ],
    },
    {
      method: 'post',
      path: '/api/logout',
      id: 'logOut',
      tag: 'Admin',
      summary: 'Take the cookie away',
      answer: jsonAnswer('There is no cookie now.', done),
      errors: ['unauthorized', 'payload_too_large', 'unsupported_media_type'],
      isUncached: true,
      handlers: [readBody, postLogout(access)],
    },
  ];
}

const session = z
  .strictObject({
    name: z
      .string()
      .nullable()
      .meta({ description: 'Null: none was given.', examples: ['Ana'] }),
  })
  .meta({ id: 'LoggedIn' });

const done = z.strictObject({ status: z.literal('ok') }).meta({ id: 'Done' });

const adminPages = (access: AdminAccess): Page[] => [
  {
    path: '/login',
    id: 'getLogin',
    tag: 'Admin',
    summary: 'Log in on a page',
    folder: 'login',
  },
  {
    path: '/dashboard',
    id: 'getDashboard',
    tag: 'Admin',
    summary:
      'Watch the keys on a page, and act on them; a browser without the cookie goes to `/login`',
    auth: 'admin',
    folder: 'dashboard',
    libraries: { 'lit-html': 'lit-html' },
    before: [redirectToLogin(access), access.require],
  },
  {
    path: '/playground',
    id: 'getPlayground',
    tag: 'Admin',
    summary: 'Try the chat and the avatar on a page',
    folder: 'playground',
    libraries: {
      'lit-html': 'lit-html',
      'eventsource-parser': 'eventsource-parser/dist',
      anam: '@anam-ai/js-sdk/dist/umd',
    },
    // Anam's answer names the host of the avatar.
    connectsTo: ['https://*.anam.ai', 'wss://*.anam.ai'],
  },
];

/** Only for a browser without a cookie or token: other callers get an error that says what is missing. */
function redirectToLogin(access: AdminAccess): RequestHandler {
  return async function sendToLogin(request, response, next) {
    const isBrowser = bearerIn(request) === null && request.accepts(['json', 'html']) === 'html';
    if (isBrowser && (await access.cookie.read(request)) === null) response.redirect(303, '/login');
    else next();
  };
}

const MAX_NAME = 60;

const loginBody = z
  .strictObject({
    token: z
      .string()
      .min(1, 'Must not be empty.')
      .max(1000)
      .meta({ description: '`ADMIN_TOKEN`.' }),
    name: z.string().trim().max(MAX_NAME).optional().meta({
      description: 'Your name, for the log of what is done to keys.',
    }),
  })
  .meta({ id: 'LoginRequest' });

function postLogin({ checkToken, cookie }: AdminAccess, redact: Redact): RequestHandler {
  return async function logIn(request, response) {
    const { token, name = '' } = validate(loginBody, request.body);
    refuseOtherOrigins(request);
    await checkToken(request, token);
    await cookie.give(request, response, name === '' ? null : redact(name));
    sendJson(response, 200, { status: 'ok' });
  };
}

function postLogout({ cookie }: AdminAccess): RequestHandler {
  return function logOut(request, response) {
    refuseOtherOrigins(request);
    cookie.take(request, response);
    sendJson(response, 200, { status: 'ok' });
  };
}
