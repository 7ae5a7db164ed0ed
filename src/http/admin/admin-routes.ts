import type { Express, RequestHandler } from 'express';
import type { AdminView } from '../../observability/admin-view.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Redact } from '../../shared/redact.ts';
import type { SharedStore } from '../../shared/shared-store.ts';
import { bearerIn } from '../bearer.ts';
import { forbidCaching } from '../caching.ts';
import { readJsonBody } from '../json-body.ts';
import { limitByAddress } from '../limits.ts';
import { servePage } from '../pages.ts';
import { serve } from '../serve.ts';
import type { AdminAccess } from './admin-access.ts';
import { parkRoute, releaseRoute } from './key-action-route.ts';
import { keysRoute, overviewRoute } from './keys-route.ts';
import { loginRoute, logoutRoute } from './login-route.ts';
import { metricsRoute } from './metrics-route.ts';

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
