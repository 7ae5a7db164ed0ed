import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Order } from '../../observability/operator-actions.ts';
import type { Redact } from '../../shared/redact.ts';
import type { SharedStore } from '../../shared/shared-store.ts';
import { defaultTargets } from '../../shared/target.ts';
import { bodyOrNone, readJsonBody } from '../body.ts';
import { bearerIn } from '../caller.ts';
import { HttpError } from '../errors.ts';
import { limitByAddress } from '../limits.ts';
import { servePage } from '../pages.ts';
import { forbidCaching, sendJson, sendText } from '../reply.ts';
import { serve } from '../serve.ts';
import { validate } from '../validate.ts';
import { type AdminAccess, refuseOtherOrigins } from './admin-access.ts';

import { keysQuery, listKeys } from './key-list.ts';

export interface AdminRoutesOptions {
  readonly access: AdminAccess;
  /** With which other processes count logins too. */
  readonly sharedStore: SharedStore | null;
  readonly view: AdminView;
  readonly metrics: Metrics;
  readonly redact: Redact;
  /** How long a key is parked by hand when nobody says. */
  readonly cooldownMs: number;
}

/** Of one address, right or wrong; wrong tokens have a lower limit of their own. */
const LOGINS_PER_MINUTE = 30;
/** In bytes. */
const MAX_BODY = 16 * 1024;

/** A browser that brings nothing is shown the way; everybody else is told what is missing. */
function toLogin(access: AdminAccess): RequestHandler {
  return async function sendToLogin(request, response, next) {
    const isBrowser = bearerIn(request) === null && request.accepts(['json', 'html']) === 'html';
    if (isBrowser && (await access.cookie.read(request)) === null) response.redirect(303, '/login');
    else next();
  };
}

/** What is for whoever runs the server: without an admin token none of it exists. */
export function serveAdminRoutes(app: Express, options: AdminRoutesOptions): void {
  const { access, sharedStore, view, metrics, redact, cooldownMs } = options;
  serve(app, 'get', ['/metrics'], access.require, metricsRoute(metrics));
  serve(
    app,
    'post',
    ['/api/login'],
    forbidCaching,
    ...limitByAddress('logins', LOGINS_PER_MINUTE, sharedStore),
    ...readJsonBody(MAX_BODY),
    loginRoute(access, redact),
  );
  serve(
    app,
    'post',
    ['/api/logout'],
    forbidCaching,
    ...readJsonBody(MAX_BODY),
    logoutRoute(access),
  );
  serve(app, 'get', ['/api/keys'], access.require, keysRoute(view));
  serve(app, 'get', ['/api/overview'], access.require, overviewRoute(view));
  const toAct = [access.require, ...readJsonBody(MAX_BODY)];
  serve(app, 'post', ['/api/keys/:id/release'], ...toAct, releaseRoute(view));
  serve(app, 'post', ['/api/keys/:id/park'], ...toAct, parkRoute(view, cooldownMs));
  servePage(app, { path: '/login', folder: 'login' });
  servePage(app, {
    path: '/dashboard',
    folder: 'dashboard',
    libraries: { 'lit-html': 'lit-html' },
    before: [toLogin(access), access.require],
  });
  servePage(app, {
    path: '/playground',
    folder: 'playground',
    libraries: {
      'lit-html': 'lit-html',
      'eventsource-parser': 'eventsource-parser/dist',
      anam: '@anam-ai/js-sdk/dist/umd',
    },
    // Only Anam's answer says which of its hosts the avatar lives on.
    connectsTo: ['https://*.anam.ai', 'wss://*.anam.ai'],
  });
}

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
function loginRoute({ checkToken, cookie }: AdminAccess, redact: Redact): RequestHandler {
  return async function postLogin(request, response) {
    const { token, name = '' } = validate(loginBody, request.body);
    refuseOtherOrigins(request);
    await checkToken(request, token);
    await cookie.give(request, response, name === '' ? null : redact(name));
    sendJson(response, 200, { status: 'ok' });
  };
}

/** `POST /api/logout` */
function logoutRoute({ cookie }: AdminAccess): RequestHandler {
  return function postLogout(request, response) {
    refuseOtherOrigins(request);
    cookie.take(request, response);
    sendJson(response, 200, { status: 'ok' });
  };
}

const MAX_SECONDS = 7 * 86_400;
const note = z.string().trim().max(200);

const whoAndWhy = {
  by: note.optional().meta({
    description: 'Who does it, for the log. Default: the name that was given at the login.',
  }),
  reason: note.optional().meta({ description: 'Why, for the log.' }),
};

export const releaseBody = z
  .strictObject(whoAndWhy)
  .meta({ title: 'ReleaseRequest', description: 'May be empty, or nothing at all.' });

export const parkBody = z
  .strictObject({
    ...whoAndWhy,
    seconds: z.number().min(1).max(MAX_SECONDS).optional().meta({
      description: 'How long, from now, in seconds. Default: `KEY_COOLDOWN_SECONDS`.',
    }),
  })
  .meta({ title: 'ParkRequest', description: 'May be empty, or nothing at all.' });

/** `POST /api/keys/{id}/release`: the key may be used again, whatever was found about it. */
function releaseRoute(view: AdminView): RequestHandler {
  return async function postRelease(request, response) {
    const body = validate(releaseBody, bodyOrNone(request));
    const isFound = view.actions.release(idIn(request), orderIn(response, body));
    if (!isFound) throw noSuchKey();
    sendJson(response, 200, { key: await reportOf(view, request) });
  };
}

/** `POST /api/keys/{id}/park`: the key is used no more, until its time has passed or somebody releases it. */
function parkRoute(view: AdminView, cooldownMs: number): RequestHandler {
  return async function postPark(request, response) {
    const { seconds = cooldownMs / 1000, ...body } = validate(parkBody, bodyOrNone(request));
    const isFound = view.actions.park(idIn(request), seconds * 1000, orderIn(response, body));
    if (!isFound) throw noSuchKey();
    sendJson(response, 200, { key: await reportOf(view, request) });
  };
}

const idIn = ({ params }: Request) => String(params.id);

/** Who has logged in with a name need not give it again. */
function orderIn(
  { locals }: Response,
  { by = '', reason = '' }: z.output<typeof releaseBody>,
): Order {
  return {
    requestId: locals.requestId,
    who: by || (locals.admin?.name ?? null),
    why: reason || null,
  };
}

async function reportOf({ targets, keys }: AdminView, request: Request) {
  const id = idIn(request);
  const [report] = await keys(defaultTargets(targets).map((target) => ({ target, id })));
  return report;
}

const noSuchKey = () => new HttpError('not_found', 'There is no such key.');

/** `GET /api/keys`: all that is known of each key, page by page. */
function keysRoute(view: AdminView): RequestHandler {
  return async function getKeys(request, response) {
    sendJson(response, 200, await listKeys(view, validate(keysQuery, request.query)));
  };
}

/** `GET /api/overview`: what the dashboard shows besides the keys. */
function overviewRoute(view: AdminView): RequestHandler {
  return async function getOverview(_request, response) {
    sendJson(response, 200, await view.overview());
  };
}

/** `GET /metrics`: what Prometheus reads. */
function metricsRoute(metrics: Pick<Metrics, 'contentType' | 'text'>): RequestHandler {
  return async function getMetrics(_request, response) {
    sendText(response, 200, metrics.contentType, await metrics.text());
  };
}
