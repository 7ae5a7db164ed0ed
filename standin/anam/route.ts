import type { RequestHead } from '../provider.ts';
import type { AnamStep } from './fault.ts';

export interface AnamRoute {
  readonly step: AnamStep;
  readonly method: string;
}

/** @returns null for a path that is none of Anam's. */
export const anamRoute = (path: string): AnamRoute | null => ROUTES.get(path) ?? null;

/** @returns the bearer's text: an API key, or at session start a session token. */
export const bearerOf = ({ headers }: RequestHead): string =>
  headers.authorization?.replace(BEARER, '') ?? '';

const BEARER = /^Bearer\s+/i;

const ROUTES: ReadonlyMap<string, AnamRoute> = new Map([
  ['/v1/auth/session-token', { step: 'mint', method: 'POST' }],
  ['/v1/engine/session', { step: 'start', method: 'POST' }],
  ['/v1/sessions/concurrency', { step: 'concurrency', method: 'GET' }],
]);

export const METRICS_PATH = '/v1/metrics/client';
