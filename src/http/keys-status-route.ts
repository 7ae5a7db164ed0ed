import type { RequestHandler } from 'express';
import type { KeyCounts } from '../pool/counts.ts';
import type { ProviderName } from '../shared/api-key.ts';
import { sendJson } from './reply.ts';

/** `GET /api/keys/status`: how many keys can be used. Always 200, whatever the keys do. */
export function keysStatusRoute(
  countKeys: () => Readonly<Record<ProviderName, KeyCounts>>,
): RequestHandler {
  return function getKeysStatus(_request, response) {
    const apiKeys = countKeys();
    const isOk = Object.values(apiKeys).every(
      ({ total, available }) => total === 0 || available > 0,
    );
    response.setHeader('cache-control', 'no-store');
    sendJson(response, 200, { status: isOk ? 'ok' : 'degraded', api_keys: apiKeys });
  };
}
