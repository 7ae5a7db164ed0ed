import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { count, keptWhere, placeOf, time } from '../../observability/reports.ts';
import {
  CLIENT_ROUTES,
  type Client,
  ClientError,
  type Clients,
  type ClientTerms,
  type ClientWithToken,
  isReserved,
  UNLIMITED,
} from '../../services/clients.ts';
import { type Clock, isoTime } from '../../shared/clock.ts';
import {
  type DurableStore,
  StaleWriteError,
  StoreUnavailableError,
} from '../../shared/durable-store.ts';
import type { Logger } from '../../shared/logger.ts';
import { redactOrder } from '../../shared/order.ts';
import type { Redact } from '../../shared/redact.ts';
import { bodyOrNone, readJsonBody, validate } from '../body.ts';
import { type ErrorCode, HttpError } from '../errors.ts';
import { sendJson } from '../reply.ts';
import { jsonAnswer, type Route } from '../route.ts';
import { MAX_ADMIN_BODY, type OperatorNote, operatorNote, orderIn } from './operator-note.ts';

export interface ClientRoutesOptions {
  readonly clients: Clients;
  readonly store: Pick<DurableStore, 'kind' | 'fault'>;
  /** Under which models may be requested, aliases included. */
  readonly modelNames: readonly string[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
  /** For what people type. */
  readonly redact: Redact;
}

/** The admin API of the clients. */
export function clientRoutes(requireAdmin: RequestHandler, options: ClientRoutesOptions): Route[] {
  const { clients, store, clock, log, redact } = options;
  const readBody = readJsonBody(MAX_ADMIN_BODY);
  const terms = termsOf(options.modelNames);
  const makeBody = operatorNote
    .extend({ name: clientName, ...terms })
    .meta({ id: 'ClientRequest' });
  const changeBody = operatorNote.extend(terms).meta({
    id: 'ClientChange',
    description: 'What is left out stays as it is; null takes a limit away.',
  });
  const common = { tag: 'Admin', auth: 'admin' } as const;
  const named = { ...common, params: z.object({ name: z.string().meta({ examples: ['shop'] }) }) };
  const report = (client: Client) => reportClient(client, clock.now());
  const explain = (error: unknown) => explainFor(error, store);

  function record(response: Response, name: string, action: string, note: OperatorNote): void {
    const { requestId, who, why } = redactOrder(orderIn(response, note), redact);
    log.warn({ requestId, client: name, action, who, why }, 'operator');
  }

  /** @param act on the client that the path names */
  const acting = <Body extends OperatorNote>(
    schema: z.ZodType<Body>,
    action: string,
    act: (name: string, body: Body) => Promise<Client | ClientWithToken>,
  ): RequestHandler[] => [
    requireAdmin,
    readBody,
    async function actOnClient(request, response) {
      const body = validate(schema, bodyOrNone(request));
      const name = String(request.params.name);
      const done = await act(name, body).catch(explain);
      record(response, name, action, body);
      sendJson(
        response,
        200,
        'token' in done
          ? { client: report(done.client), token: done.token.reveal() }
          : { client: report(done) },
      );
    },
  ];

  return [
    {
      ...common,
      method: 'get',
      path: '/api/clients',
      id: 'listClients',
      summary: 'List the clients with their limits and what they have used',
      description: 'Those of `CLIENT_TOKENS` first. No answer holds a token or its digest.',
      isPolled: true,
      answer: jsonAnswer('All clients.', clientList),
      handlers: [
        requireAdmin,
        (_request, response) =>
          sendJson(response, 200, {
            ...placeOf(store.kind),
            models: [...options.modelNames],
            routes: [...CLIENT_ROUTES],
            clients: clients.all().map(report),
          }),
      ],
    },
    {
      ...common,
      method: 'post',
      path: '/api/clients',
      id: 'makeClient',
      summary: 'Make a client',
      description:
        'The answer holds its token. No other answer shows it: the server keeps only a digest. All instances know the client within a second.',
      body: {
        schema: makeBody,
        examples: {
          named: { value: { name: 'shop', by: 'Ana' } },
          limited: { value: { name: 'trial', requestsPerMinute: 10, tokensPerDay: 200_000 } },
        },
      },
      answer: { ...jsonAnswer('The client and its token.', clientWithToken), status: 201 },
      errors: ['conflict', 'store_unavailable'],
      isUncached: true,
      handlers: [
        requireAdmin,
        readBody,
        async function makeClient(request, response) {
          const { name, by, reason, ...given } = validate(makeBody, request.body);
          const made = await clients.make(name, { ...UNLIMITED, ...given }).catch(explain);
          record(response, name, 'make', { by, reason });
          sendJson(response, 201, { client: report(made.client), token: made.token.reveal() });
        },
      ],
    },
    {
      ...named,
      method: 'patch',
      path: '/api/clients/{name}',
      id: 'changeClient',
      summary: 'Change what a client may do',
      description: 'It takes effect with the next request, in all instances within a second.',
      body: { schema: changeBody, examples: { limit: { value: { requestsPerMinute: 60 } } } },
      answer: jsonAnswer('The present state of the client.', clientAnswer),
      errors: CHANGE_ERRORS,
      handlers: acting(changeBody, 'change', (name, { by: _, reason: __, ...given }) =>
        clients.change(name, given),
      ),
    },
    {
      ...named,
      method: 'delete',
      path: '/api/clients/{name}',
      id: 'revokeClient',
      summary: 'Revoke a client',
      description: 'Its token is refused from the next request on. Answers in flight continue.',
      body: {
        schema: operatorNote.meta({ id: 'ClientRevocation' }),
        isRequired: false,
        examples: { named: { value: { by: 'Ana', reason: 'leaked' } } },
      },
      answer: jsonAnswer('The last state of the client.', clientAnswer),
      errors: CHANGE_ERRORS,
      handlers: acting(operatorNote, 'revoke', (name) => clients.revoke(name)),
    },
    {
      ...named,
      method: 'post',
      path: '/api/clients/{name}/rotate',
      id: 'rotateClientToken',
      summary: 'Replace the token of a client',
      description: 'The answer holds the new token. No other answer shows it.',
      body: {
        schema: rotateBody,
        isRequired: false,
        examples: { grace: { value: { graceSeconds: 3600, by: 'Ana' } } },
      },
      answer: jsonAnswer('The client and its new token.', clientWithToken),
      errors: CHANGE_ERRORS,
      isUncached: true,
      handlers: acting(rotateBody, 'rotate', (name, { graceSeconds = 0 }) =>
        clients.rotate(name, graceSeconds * 1000),
      ),
    },
  ];
}

const CHANGE_ERRORS = ['not_found', 'conflict', 'store_unavailable'] as const;

const clientName = z
  .string()
  .regex(/^[a-z0-9._-]{1,60}$/, 'Must be 1 to 60 of the letters a to z, digits and . _ -')
  .refine((name) => !isReserved(name), 'Is reserved: choose another name.')
  .meta({ examples: ['shop'] });

const MAX_COUNT = 1_000_000_000_000;
const MAX_WEIGHT = 100;
const MAX_MODELS = 100;
const MAX_GRACE_SECONDS = 7 * 86_400;

const limit = z.int().min(1).max(MAX_COUNT).nullable();

const termsOf = (modelNames: readonly string[]) =>
  ({
    models: z
      .array(z.enum(modelNames))
      .min(1, 'Must not be empty.')
      .max(MAX_MODELS)
      .nullable()
      .exactOptional()
      .meta({ description: 'Models and aliases that it may use. Default: null, which is all.' }),
    routes: z
      .array(z.enum(CLIENT_ROUTES))
      .min(1, 'Must not be empty.')
      .max(CLIENT_ROUTES.length)
      .nullable()
      .exactOptional()
      .meta({
        description:
          'The protocols that it may use; `embeddings` stands for embeddings in every protocol. Default: null, which is all.',
      }),
    requestsPerMinute: limit.exactOptional().meta({
      description: 'Requests that need a key, in a minute of the clock. Default: null, no limit.',
    }),
    tokensPerMinute: limit.exactOptional().meta({
      description:
        'Input and output. They count at the end of a request; when the limit is reached, the next request is refused. Default: null.',
    }),
    requestsPerDay: limit.exactOptional().meta({ description: 'In a day of UTC. Default: null.' }),
    tokensPerDay: limit.exactOptional().meta({ description: 'In a day of UTC. Default: null.' }),
    weight: z.int().min(1).max(MAX_WEIGHT).exactOptional().meta({
      description:
        'Its part of a scarce model, and of the keys for which requests wait, is its weight among those of all active clients. Default: 1.',
    }),
  }) satisfies Record<keyof ClientTerms, z.ZodType>;

const rotateBody = operatorNote
  .extend({
    graceSeconds: z.int().min(0).max(MAX_GRACE_SECONDS).optional().meta({
      description: 'How long the old token still works, at most seven days. Default: 0.',
    }),
  })
  .meta({ id: 'ClientRotation', description: 'May be empty, or nothing at all.' });

const clientReport = z
  .strictObject({
    name: z.string().meta({ description: 'Also in the log, the metrics and the usage.' }),
    models: z.array(z.string()).nullable(),
    routes: z.array(z.enum(CLIENT_ROUTES)).nullable(),
    requestsPerMinute: count.nullable(),
    tokensPerMinute: count.nullable(),
    requestsPerDay: count.nullable(),
    tokensPerDay: count.nullable(),
    weight: count,
    origin: z.enum(['environment', 'added']).meta({
      description: '`environment`: of `CLIENT_TOKENS`; it can only be changed there.',
    }),
    createdAt: time.nullable().meta({ description: 'Null for one of `CLIENT_TOKENS`.' }),
    lastUsedAt: time
      .nullable()
      .meta({ description: 'The last request that this instance knows of.' }),
    used: z
      .strictObject({
        requestsMinute: count,
        tokensMinute: count,
        requestsDay: count,
        tokensDay: count,
      })
      .meta({ description: 'In the present minute and day of UTC, in all instances.' }),
    refused: count.meta({
      description: 'Requests over a limit or the share, in this instance since its start.',
    }),
  })
  .meta({ id: 'Client' });

const clientAnswer = z.strictObject({ client: clientReport }).meta({ id: 'ClientAnswer' });

const clientWithToken = z
  .strictObject({
    client: clientReport,
    token: z.string().meta({ description: 'No other answer shows it.' }),
  })
  .meta({ id: 'ClientWithToken' });

const clientList = z
  .strictObject({
    ...keptWhere,
    models: z.array(z.string()).meta({
      description: 'Models and aliases that a client may be limited to.',
    }),
    routes: z.array(z.enum(CLIENT_ROUTES)).meta({ description: 'As `models`.' }),
    clients: z.array(clientReport),
  })
  .meta({ id: 'ClientList' });
export type ClientList = z.output<typeof clientList>;

function reportClient(client: Client, now: number): z.input<typeof clientReport> {
  const { name, origin, createdAt, lastUsedAt, refused, budget } = client;
  const { models, routes, weight, ...limits } = client.terms;
  return {
    name,
    models: models === null ? null : [...models],
    routes: routes === null ? null : [...routes],
    requestsPerMinute: limits.requestsPerMinute,
    tokensPerMinute: limits.tokensPerMinute,
    requestsPerDay: limits.requestsPerDay,
    tokensPerDay: limits.tokensPerDay,
    weight,
    origin,
    createdAt: createdAt === null ? null : isoTime(createdAt),
    lastUsedAt: lastUsedAt === null ? null : isoTime(lastUsedAt),
    used: budget.used(now),
    refused,
  };
}

const CODES: Record<ClientError['kind'], ErrorCode> = {
  taken: 'conflict',
  fixed: 'conflict',
  too_many: 'conflict',
  unknown: 'not_found',
};

function explainFor(error: unknown, store: Pick<DurableStore, 'fault'>): never {
  if (error instanceof ClientError) throw new HttpError(CODES[error.kind], error.message);
  if (error instanceof StaleWriteError)
    throw new HttpError('conflict', CHANGED_ELSEWHERE, { cause: error });
  if (!(error instanceof StoreUnavailableError)) throw error;
  throw new HttpError('store_unavailable', store.fault() ?? NO_STORE, { cause: error });
}

const CHANGED_ELSEWHERE = 'The client was changed elsewhere at the same time. Try again.';
const NO_STORE =
  'The store does not answer. The change may or may not have been made: look at the clients before you try again.';
