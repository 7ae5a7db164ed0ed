import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { KeyCounts } from '../pool/inspection.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { REDIS_STATES, type RedisState } from '../shared/shared-store.ts';
import { JSON_TYPE, sendJson, sendText } from './reply.ts';
import { jsonAnswer, type Route } from './route.ts';

export interface StatusRoutesOptions {
  readonly countKeys: () => Readonly<Record<ProviderName, KeyCounts>>;
  /** `demo`: the providers are stand-ins. */
  readonly mode: 'live' | 'demo';
  /** Null without Redis. */
  readonly redis: (() => RedisState) | null;
}

/** Open to everybody, so that a platform and a dashboard need no token. */
export const statusRoutes = ({ countKeys, mode, redis }: StatusRoutesOptions): Route[] => [
  {
    method: 'get',
    path: '/health',
    id: 'getHealth',
    tag: 'Operation',
    summary: 'See whether the process can serve',
    answer: jsonAnswer(
      'It can. The state of the keys does not matter: a restart would not help.',
      health,
    ),
    handlers: [
      (_request, response) =>
        sendJson(response, 200, { status: 'ok', mode, redis: redis?.() } satisfies Health),
    ],
  },
  {
    method: 'get',
    path: '/api/keys/status',
    id: 'getKeysStatus',
    tag: 'Operation',
    summary: 'See how many keys can be used',
    description:
      "Always 200. `status` is `degraded` when a service has keys but none available. Google's counts are for the default model.",
    answer: jsonAnswer('The number of keys of each service, by state.', keysStatus),
    isPolled: true,
    handlers: [getKeysStatus(countKeys)],
  },
];

const health = z
  .strictObject({
    status: z.literal('ok'),
    mode: z.enum(['live', 'demo']).meta({ description: '`demo`: the providers are stand-ins.' }),
    redis: z.enum(REDIS_STATES).optional().meta({ description: 'Missing where no Redis is set.' }),
  })
  .meta({ id: 'Health' });

type Health = z.output<typeof health>;

const count = z.int().min(0);

const keysStatus = z
  .strictObject({
    status: z.enum(['ok', 'degraded']),
    api_keys: z.record(
      z.string(),
      z.strictObject({
        total: count.meta({ description: 'The sum of the other three.' }),
        available: count,
        cooling_down: count.meta({ description: 'They come back by themselves.' }),
        exhausted: count.meta({ description: 'They need action.' }),
      }),
    ),
  })
  .meta({ id: 'KeysStatus' });

function getKeysStatus(countKeys: StatusRoutesOptions['countKeys']): RequestHandler {
  return function sendKeysStatus(_request, response) {
    const apiKeys = countKeys();
    const isOk = Object.values(apiKeys).every(
      ({ total, available }) => total === 0 || available > 0,
    );
    response.setHeader('cache-control', 'no-store');
    sendJson(response, 200, { status: isOk ? 'ok' : 'degraded', api_keys: apiKeys });
  };
}

/** The document is written at its first request: few deployments ever ask for it. */
export function documentRoute(routes: () => readonly Route[]): Route {
  let document: Promise<string> | null = null;
  return {
    method: 'get',
    path: '/openapi.json',
    id: 'getDocument',
    tag: 'Developers',
    summary: 'Read this document',
    answer: jsonAnswer(
      'The routes of this very server, as its settings make them.',
      z.looseObject({ openapi: z.string() }),
    ),
    handlers: [
      async function getDocument(_request, response) {
        document ??= writeDocument(routes());
        sendText(response, 200, JSON_TYPE, await document);
      },
    ],
  };
}

async function writeDocument(routes: readonly Route[]): Promise<string> {
  const { describeRoutes } = await import('./openapi.ts');
  return JSON.stringify(describeRoutes(routes));
}
