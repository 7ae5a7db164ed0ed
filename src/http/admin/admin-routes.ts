import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { AdminView } from '../../observability/admin-view.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Order } from '../../observability/operator-actions.ts';
import {
  type KeysPage,
  keyCheck,
  keyReport,
  keysPage,
  overview,
} from '../../observability/reports.ts';
import type { UsageStats } from '../../observability/usage.ts';
import type { KeyState } from '../../pool/inspection.ts';
import type { Redact } from '../../shared/redact.ts';
import { defaultTargets, type Target } from '../../shared/target.ts';
import { bodyOrNone, invalidField, readJsonBody, validate } from '../body.ts';
import { bearerIn } from '../caller.ts';
import { HttpError } from '../errors.ts';
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
import { checkBeforeRelease, checkRoutes, type KeyCheckParts, keyOf } from './check-routes.ts';
import { historyRoutes } from './history-routes.ts';
import { type IncidentRoutesOptions, incidentRoutes } from './incident-routes.ts';
import { usageRoutes } from './usage-routes.ts';

/** What is for the operator. Without an admin token none of it exists, nor is this file loaded. */
export interface AdminHttp extends Pick<AdminAccess, 'recognise'> {
  readonly routes: readonly Route[];
  readonly pages: readonly Page[];
  readonly turnedAway: AdminView['turnedAway'];
  readonly overBudget: AdminView['overBudget'];
  readonly requestAnswered: Metrics['requestAnswered'];
}

export interface AdminHttpOptions extends AdminAccessOptions, KeyCheckParts, IncidentRoutesOptions {
  readonly view: AdminView;
  readonly metrics: Metrics;
  readonly usage: UsageStats;
  readonly redact: Redact;
  /** How long an operator parks a key without saying so. */
  readonly cooldownMs: number;
}

export function createAdminHttp(options: AdminHttpOptions): AdminHttp {
  const access = createAdminAccess(options);
  return {
    recognise: access.recognise,
    routes: [
      ...adminRoutes(access, options),
      ...historyRoutes(access, options.view),
      ...usageRoutes(access.require, options.usage),
    ],
    pages: adminPages(access),
    turnedAway: options.view.turnedAway,
    overBudget: options.view.overBudget,
    requestAnswered: options.metrics.requestAnswered,
  };
}

/** Of one address, right or wrong; wrong tokens have a lower limit of their own. */
const LOGINS_PER_MINUTE = 30;
/** In bytes. */
const MAX_BODY = 16 * 1024;

function adminRoutes(access: AdminAccess, options: AdminHttpOptions): Route[] {
  const { sharedStore, view, metrics, redact, cooldownMs } = options;
  const readBody = readJsonBody(MAX_BODY);
  const keysQuery = createKeysQuery(view.targets);
  const reading = { method: 'get', tag: 'Admin', auth: 'admin', isPolled: true } as const;
  const onKey = <Body extends Note>(
    schema: z.ZodType<Body>,
    example: Body,
    act: (id: string, order: Order, body: Body) => boolean,
  ) =>
    ({
      method: 'post',
      tag: 'Admin',
      auth: 'admin',
      params: z.object({ id: z.string().meta({ examples: ['google-2'] }) }),
      body: { schema, isRequired: false, examples: { named: { value: example } } },
      answer: jsonAnswer('The key as it is now.', keyAnswer),
      errors: ['not_found'],
      handlers: [access.require, readBody, postAction(view, schema, act)],
    }) as const;
  return [
    {
      ...reading,
      path: '/api/keys',
      id: 'listKeys',
      summary: 'See the state of each key, and why',
      description:
        'In the order of the settings, those of Google first, unless `sort` says otherwise. No answer holds the text of a key.',
      query: keysQuery,
      answer: jsonAnswer('One page of keys.', keysPage),
      handlers: [
        access.require,
        ({ query }, response) =>
          sendJson(response, 200, listKeys(view, validate(keysQuery, query))),
      ],
    },
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
    ...checkRoutes(access, options),
    {
      ...onKey(releaseBody, { by: 'Ana', reason: 'quota was raised' }, () => false),
      handlers: [access.require, readBody, postRelease(options)],
      answer: jsonAnswer('The key as it is now, and what the check says.', releaseAnswer),
      errors: ['not_found', 'check_failed'],
      path: '/api/keys/{id}/release',
      id: 'releaseKey',
      summary: 'Let a key be used again',
      description:
        'What was found about it is forgotten, and what was found about its project for all keys of the project. A key that needs action is checked first, as by `POST /api/keys/{id}/check`: if the provider still refuses it, the answer is 409 and nothing is released, unless `force` is true.',
    },
    {
      ...onKey(
        parkBody,
        { by: 'Ana', reason: 'bill is strange', seconds: 900 },
        (id, order, { seconds = cooldownMs / 1000 }) =>
          view.actions.park(id, seconds * 1000, order),
      ),
      path: '/api/keys/{id}/park',
      id: 'parkKey',
      summary: 'Take a key out of use',
      description:
        'Until its time has passed or an operator releases it. Its running calls go on. A later order replaces this one.',
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

const MAX_LIMIT = 500;

/** @param targets decide which services there are */
const createKeysQuery = (targets: readonly Target[]) =>
  z.strictObject({
    service: z
      .enum(defaultTargets(targets).map(({ provider }) => provider))
      .optional()
      .meta({ description: 'Only the keys of this service.' }),
    model: z.string().optional().meta({
      description:
        'The state for this model, which is one of those in `GET /api/overview`. Default: the first of each service.',
    }),
    state: z.enum(['available', 'cooling_down', 'exhausted']).optional().meta({
      description: 'Only the keys in this state.',
    }),
    search: z.string().trim().min(1).max(100).optional().meta({
      description:
        'Only the keys with this text, in any case, in their id, project, billing label or fingerprint.',
    }),
    sort: z.enum(['trouble']).optional().meta({
      description:
        '`trouble`: first the keys that need action, then those that cool down by the time of their return, then the others.',
    }),
    after: z.string().optional().meta({
      description: 'Only the keys after this id: `next` of the page before.',
    }),
    limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(100).meta({
      description: 'The number of keys on a page.',
    }),
  });

type KeysQuery = z.output<ReturnType<typeof createKeysQuery>>;

interface Row extends KeyState {
  readonly target: Target;
}

/** @throws HttpError 400 that names the field */
function listKeys(view: AdminView, query: KeysQuery): KeysPage {
  const { state, after, limit, search, sort } = query;
  const all = targetsFor(view, query).flatMap((target) =>
    view.states(target).map((row): Row => ({ ...row, target })),
  );
  if (sort === 'trouble') all.sort(byTrouble);
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  if (after !== undefined && start === 0) throw invalidField('after', 'There is no such key.');
  const found = search === undefined ? null : view.search(search);
  const matches = (row: Row) =>
    (state === undefined || row.state === state) && (found === null || found.has(row.id));
  const rest = all.slice(start).filter(matches);
  const page = rest.slice(0, limit);
  return {
    total: all.filter(matches).length,
    keys: view.keys(page),
    next: rest.length > limit ? (page.at(-1)?.id ?? null) : null,
  };
}

const byTrouble = (a: Row, b: Row) =>
  TROUBLE[a.state] - TROUBLE[b.state] || (a.until ?? 0) - (b.until ?? 0);

const TROUBLE = { exhausted: 0, cooling_down: 1, available: 2 } satisfies Record<
  Row['state'],
  number
>;

function targetsFor({ targets }: AdminView, { service, model }: KeysQuery): readonly Target[] {
  const asked = targets.filter(({ provider }) => service === undefined || provider === service);
  if (model === undefined) return defaultTargets(asked);
  const found = asked.filter(({ label }) => label === model);
  if (found.length > 0) return found;
  throw invalidField('model', `Must be one of: ${asked.map(({ label }) => label).join(', ')}.`);
}

const keyAnswer = z.strictObject({ key: keyReport }).meta({ id: 'KeyAnswer' });

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

const MAX_SECONDS = 7 * 86_400;
const note = z.string().trim().max(200);

const noteBody = z
  .strictObject({
    by: note.optional().meta({
      description: 'Who does it, for the log. Default: the name given at the login.',
    }),
    reason: note.optional().meta({ description: 'Why, for the log.' }),
  })
  .meta({ description: 'May be empty, or nothing at all.' });

type Note = z.output<typeof noteBody>;

const releaseBody = noteBody
  .extend({
    force: z.boolean().optional().meta({
      description: 'Whether a key that needs action is released without a check. Default: false.',
    }),
  })
  .meta({ id: 'ReleaseRequest', description: 'May be empty, or nothing at all.' });

const parkBody = noteBody
  .extend({
    seconds: z.number().min(1).max(MAX_SECONDS).optional().meta({
      description: 'How long, from now, in seconds. Default: `KEY_COOLDOWN_SECONDS`.',
    }),
  })
  .meta({ id: 'ParkRequest', description: 'May be empty, or nothing at all.' });

const releaseAnswer = z
  .strictObject({
    key: keyReport,
    check: keyCheck.nullable().meta({ description: 'Null: it was not checked.' }),
    sentence: z.string().meta({ description: 'What was done, in plain words.' }),
  })
  .meta({ id: 'ReleaseAnswer' });

function postRelease({ view, checks, pool }: AdminHttpOptions): RequestHandler {
  return async function releaseKey(request, response) {
    const { force = false, ...body } = validate(releaseBody, bodyOrNone(request));
    const key = keyOf(String(request.params.id), pool);
    const isChecked = !force && view.actions.needsAction(key.id);
    const found = isChecked ? await checkBeforeRelease(key, checks) : UNCHECKED;
    view.actions.release(key.id, orderIn(response, body));
    const { id } = key;
    const [report] = view.keys(defaultTargets(view.targets).map((target) => ({ target, id })));
    sendJson(response, 200, { key: report, ...found });
  };
}

const UNCHECKED = { check: null, sentence: 'Released without a check.' };

/** @param act returns whether there is such a key */
function postAction<Body extends Note>(
  { targets, keys }: AdminView,
  schema: z.ZodType<Body>,
  act: (id: string, order: Order, body: Body) => boolean,
): RequestHandler {
  return async function actOnKey(request, response) {
    const id = String(request.params.id);
    const body = validate(schema, bodyOrNone(request));
    if (!act(id, orderIn(response, body), body)) {
      throw new HttpError('not_found', 'There is no such key.');
    }
    const [key] = keys(defaultTargets(targets).map((target) => ({ target, id })));
    sendJson(response, 200, { key });
  };
}

/** The name given at the login is the default. */
function orderIn({ locals }: Response, { by = '', reason = '' }: Note): Order {
  return {
    requestId: locals.requestId,
    who: by || (locals.admin?.name ?? null),
    why: reason || null,
  };
}
