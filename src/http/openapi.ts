import { readFileSync } from 'node:fs';
import { z } from 'zod';
import {
  type CreateDocumentOptions,
  createDocument,
  createSchema,
  type ZodOpenApiOperationObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { SESSION_COOKIE } from './admin/admin-access.ts';
import { listShapes } from './body.ts';
import { type ErrorCode, type ErrorForm, HttpError, OUR_ERRORS } from './errors.ts';
import { type Answer, type Auth, groupBy, type Route, type Tag } from './route.ts';

/** The OpenAPI document of this very server, written from its routes. */
export function describeRoutes(routes: readonly Route[]): object {
  const schemes = new Set(routes.flatMap(({ auth }) => schemesOf(auth)));
  const tags = new Set<string>(routes.map(({ tag }) => tag));
  return createDocument(
    {
      openapi: '3.1.1',
      info: { title: 'Understudy', version: ownVersion(), description: DESCRIPTION },
      servers: [{ url: '/' }],
      tags: Object.entries(TAGS)
        .filter(([name]) => tags.has(name))
        .map(([name, description]) => ({ name, description })),
      paths: Object.fromEntries(
        [...groupBy(routes, ({ path }) => path)].map(([path, same]) => [
          path,
          Object.fromEntries(same.map((route) => [route.method, toOperation(route)])),
        ]),
      ),
      components: {
        securitySchemes: Object.fromEntries([...schemes].map((name) => [name, SCHEMES[name]])),
      },
    },
    OPTIONS,
  );
}

const DESCRIPTION = `A chat and avatar backend that keeps answering when an API key is spent: another key steps in.

Every answer has an \`x-request-id\`: the caller's own if it sent a short and harmless one that is no key, else a new
one. It is in every log line about the request. An error has the form that the callers of its route expect. What cannot be read as HTTP at all, or
has no \`Host\`, is answered on every path in our own form, with 400, 408, 413 or 431.`;

function ownVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')).version;
}

const TAGS: Readonly<Record<Tag, string>> = {
  Chat: 'For the frontend.',
  Avatar: 'For the page with the avatar.',
  Live: 'For a page with voice.',
  Operation: 'For the platform and for dashboards.',
  Admin: 'For the operator, with `ADMIN_TOKEN`.',
  OpenAI: "OpenAI's protocol, for programs.",
  Anthropic: "Anthropic's protocol, for programs.",
  Gemini: "Gemini's own protocol, for programs. The request goes to Google as it comes.",
  Developers: 'This document.',
};

const SCHEMES = {
  clientToken: { type: 'http', scheme: 'bearer', description: "A client's token." },
  anthropicKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-api-key',
    description: "The same, where Anthropic's clients put their key.",
  },
  googleKey: {
    type: 'apiKey',
    in: 'header',
    name: 'x-goog-api-key',
    description: "A client's token, where Google's clients put their key.",
  },
  keyInQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'key',
    description: 'The same. It is neither logged nor sent to Google.',
  },
  sessionToken: {
    type: 'http',
    scheme: 'bearer',
    description: 'The answer of `POST /api/anam/session-token`.',
  },
  adminToken: { type: 'http', scheme: 'bearer', description: '`ADMIN_TOKEN`.' },
  adminCookie: {
    type: 'apiKey',
    in: 'cookie',
    name: SESSION_COOKIE,
    description: 'Set by `POST /api/login`; for pages of this server only.',
  },
} as const;

const SCHEMES_BY_AUTH: Readonly<Record<Auth, readonly (keyof typeof SCHEMES)[]>> = {
  client: ['clientToken', 'anthropicKey', 'googleKey', 'keyInQuery'],
  admin: ['adminToken', 'adminCookie'],
  session: ['sessionToken'],
};

const schemesOf = (auth: Auth | undefined) => (auth === undefined ? [] : SCHEMES_BY_AUTH[auth]);

function toOperation(route: Route): ZodOpenApiOperationObject {
  const { id, tag, summary, auth, params, query, body, answer } = route;
  const description = describe(route);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === '' ? {} : { description }),
    requestParams: {
      ...(params === undefined ? {} : { path: params }),
      ...(query === undefined ? {} : { query }),
    },
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: body.isRequired ?? true,
            content: { 'application/json': { schema: body.schema, examples: body.examples } },
          },
        }),
    responses: {
      ...describeAnswer(route, answer),
      ...(route.otherAnswer === undefined ? {} : describeAnswer(route, route.otherAnswer)),
      ...describeErrors(route),
    },
    security: schemesOf(auth).map((name) => ({ [name]: [] })),
  };
}

const describeAnswer = (route: Route, answer: Answer): ZodOpenApiResponsesObject => ({
  [String(answer.status ?? 200)]: {
    description: answer.description,
    headers: headersOf(route, answer),
    content: Object.fromEntries(
      Object.entries(answer.content ?? {}).map(([type, schema]) => [type, { schema }]),
    ),
  },
});

function describe({ description, aliases = [] }: Route): string {
  const also = aliases.length === 0 ? [] : [`Also at \`${aliases.join('`, `')}\`.`];
  return [...(description === undefined ? [] : [description]), ...also].join('\n\n');
}

const HEADERS = {
  'retry-after': z
    .int()
    .min(1)
    .meta({ description: 'Seconds until a further request makes sense.' }),
  'understudy-attempts': z.int().min(1).optional().meta({
    description:
      'Which attempt has answered: more than 1 means failover to another key or model. Not with an early head.',
  }),
  'understudy-key': z.string().optional().meta({
    description: 'The id of the key that has answered; only with the cookie of an operator.',
  }),
  ratelimit: z.string().meta({
    description:
      'What is left of the limit for this address (`r`), and for how many seconds (`t`).',
    examples: ['"chat"; r=29; t=60'],
  }),
  'ratelimit-policy': z.string().meta({
    description: 'The limit for this address (`q`), and its window in seconds (`w`).',
    examples: ['"chat"; q=30; w=60; pk=:YjA1N2Q4ZmE2NzFk:'],
  }),
  allow: z.string().meta({ description: 'The methods of this path.' }),
  'www-authenticate': z.literal('Bearer').optional(),
};

type HeaderName = keyof typeof HEADERS;

const pick = (names: readonly HeaderName[]) =>
  z.object(Object.fromEntries(names.map((name) => [name, HEADERS[name]])));

const isLimited = ({ limit = [] }: Route) => limit.length > 0;

const limitHeaders = (route: Route): readonly HeaderName[] =>
  isLimited(route) ? ['ratelimit', 'ratelimit-policy'] : [];

const headersOf = (route: Route, { saysWhoAnswered = false }: Answer) =>
  pick([
    ...(saysWhoAnswered ? (['understudy-attempts', 'understudy-key'] as const) : []),
    ...limitHeaders(route),
  ]);

const ERRORS: Readonly<Record<ErrorCode, string>> = {
  invalid_request: 'The request itself is at fault; `details` names each field.',
  payload_too_large: 'The body is too large.',
  unsupported_media_type: 'The body is no JSON in UTF-8, or has an unknown content encoding.',
  unauthorized: 'The token is missing or wrong, or the page is of another origin.',
  forbidden: 'The client may not use this route.',
  not_found: 'It does not exist.',
  model_unavailable: 'The model is not served, or no key may use what was asked for.',
  method_not_allowed: 'The path has other methods.',
  check_failed: 'The provider still refuses the key, so it was not released.',
  conflict: 'It exists already, or is set elsewhere.',
  rate_limited:
    'Too many requests or wrong tokens from this address; or the client has used up a limit, or its share; or every project refuses what is special about the request.',
  internal_error: "A bug of this server: its stack is in the log, under the request's id.",
  upstream_failed: 'The provider is in trouble, or a setting of this server is at fault.',
  upstream_timeout: 'The provider did not answer in time.',
  all_keys_exhausted: 'Every key is spent; `Retry-After` is when the first one returns.',
  no_keys_configured: 'No key of this provider is set, or all of them are paused.',
  overloaded: 'Too many large requests are in flight; `Retry-After` says when to try again.',
  store_unavailable: 'The store of keys, clients and usage does not answer.',
};

function errorCodesOf(route: Route): ReadonlySet<ErrorCode> {
  const { auth, query, body, usesKeys = false, errors = [] } = route;
  return new Set<ErrorCode>([
    'method_not_allowed',
    'internal_error',
    ...(query === undefined ? [] : (['invalid_request'] as const)),
    ...(body === undefined ? [] : OF_BODIES),
    ...(auth === undefined ? [] : (['unauthorized'] as const)),
    ...(isLimited(route) || auth === 'admin' || auth === 'client'
      ? (['rate_limited'] as const)
      : []),
    ...(auth === 'client' ? (['forbidden'] as const) : []),
    ...(usesKeys ? OF_PROVIDERS : []),
    ...errors,
  ]);
}

const OF_BODIES = [
  'invalid_request',
  'payload_too_large',
  'unsupported_media_type',
  'overloaded',
] as const;
const OF_PROVIDERS = [
  'upstream_failed',
  'upstream_timeout',
  'all_keys_exhausted',
  'no_keys_configured',
] as const;

/** The errors of one status are described together, in each form that the route uses. */
function describeErrors(route: Route): ZodOpenApiResponsesObject {
  const { errorForms = [OUR_ERRORS], passesOn } = route;
  const byStatus = groupBy([...errorCodesOf(route)], (code) => statusOf(code, errorForms));
  const described = [...byStatus].map(([status, codes]) => [
    String(status),
    {
      description: codes.map((code) => `\`${code}\`: ${ERRORS[code]}`).join('\n\n'),
      headers: pick(errorHeaders(status, route)),
      content: contentOf(errorForms),
    },
  ]);
  const passedOn = {
    description: `${passesOn}'s own answer to a request that is itself at fault, passed on as it came.`,
    content: contentOf(errorForms),
  };
  return {
    ...Object.fromEntries(described),
    ...(passesOn === undefined ? {} : { default: passedOn }),
  };
}

const statusOf = (code: ErrorCode, [form]: readonly ErrorForm[]) => {
  const error = new HttpError(code, '');
  return form?.status?.(error) ?? error.status;
};

function errorHeaders(status: number, route: Route): readonly HeaderName[] {
  if (status === 405) return ['allow'];
  const own = ({ 401: 'www-authenticate', 429: 'retry-after' } as const)[status];
  return [...(own === undefined ? [] : [own]), ...limitHeaders(route)];
}

const contentOf = (forms: readonly ErrorForm[]) => {
  const byType = groupBy(forms, ({ type }) => type.split(';', 1)[0] ?? type);
  return Object.fromEntries(
    [...byType].map(([type, same]) => [type, { schema: oneOf(same.map(({ schema }) => schema)) }]),
  );
};

const oneOf = (schemas: readonly z.ZodType[]) => {
  const [only] = schemas;
  return schemas.length === 1 && only !== undefined ? only : z.union(schemas);
};

const OPTIONS: CreateDocumentOptions = {
  allowEmptySchema: { custom: true },
  override({ zodSchema, jsonSchema, io }) {
    const list = listShapes.get(zodSchema);
    if (list !== undefined) {
      const { schema } = createSchema(list.item, { io, opts: OPTIONS });
      Object.assign(jsonSchema, { type: 'array', items: schema, maxItems: list.max });
    }
    // Callers need not know how far JavaScript can count.
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  },
};
