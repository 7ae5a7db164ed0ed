import cors from 'cors';
import type { RequestHandler } from 'express';
import { ATTEMPTS_HEADER } from './reply.ts';

/** Any port of this machine, where a frontend is being developed. */
const LOCALHOST = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;

/** What a browser's script may read besides the body. */
const EXPOSED = ['x-request-id', 'retry-after', 'ratelimit', 'ratelimit-policy', ATTEMPTS_HEADER];

/** @param origins `'localhost'`, or the origins whose pages may call us; `*` among them allows any */
export function allowOrigins(origins: 'localhost' | readonly string[]): RequestHandler {
  return cors({
    origin: origins === 'localhost' ? LOCALHOST : origins.includes('*') ? '*' : [...origins],
    exposedHeaders: EXPOSED,
    maxAge: 600,
  });
}
