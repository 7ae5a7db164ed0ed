import type { RequestHandler } from 'express';
import type { Monitor } from '../../observability/monitor.ts';
import { validate } from '../json-body.ts';
import { sendJson } from '../send-json.ts';
import { keysQuery, listKeys } from './list-keys.ts';

/** `GET /api/keys`: all that is known of each key, page by page. */
export function keysRoute(monitor: Monitor): RequestHandler {
  return async function getKeys(request, response) {
    sendJson(response, 200, await listKeys(monitor, validate(keysQuery, request.query)));
  };
}

/** `GET /api/overview`: what the dashboard shows besides the keys. */
export function overviewRoute(monitor: Monitor): RequestHandler {
  return async function getOverview(_request, response) {
    sendJson(response, 200, await monitor.overview());
  };
}
