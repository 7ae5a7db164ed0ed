import type { RequestHandler } from 'express';
import type { AdminView } from '../../observability/admin-view.ts';
import { validate } from '../json-body.ts';
import { sendJson } from '../send-json.ts';
import { keysQuery, listKeys } from './list-keys.ts';

/** `GET /api/keys`: all that is known of each key, page by page. */
export function keysRoute(view: AdminView): RequestHandler {
  return async function getKeys(request, response) {
    sendJson(response, 200, await listKeys(view, validate(keysQuery, request.query)));
  };
}

/** `GET /api/overview`: what the dashboard shows besides the keys. */
export function overviewRoute(view: AdminView): RequestHandler {
  return async function getOverview(_request, response) {
    sendJson(response, 200, await view.overview());
  };
}
