import type { RequestHandler } from 'express';
import { sendJson } from './reply.ts';

/** `GET /health`: 200 while the process can serve, whatever the keys do, or the platform would restart it for nothing. */
export function healthRoute(
  mode: 'live' | 'demo',
  redisState: (() => string) | null,
): RequestHandler {
  return function getHealth(_request, response) {
    const redis = redisState === null ? {} : { redis: redisState() };
    sendJson(response, 200, { status: 'ok', mode, ...redis });
  };
}
