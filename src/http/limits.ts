import type { RequestHandler } from 'express';
import { rateLimit } from 'express-rate-limit';
import type { SharedStore } from '../shared/shared-store.ts';
import { HttpError } from './http-error.ts';
import { SharedHits } from './shared-hits.ts';

const WINDOW_SECONDS = 60;

/**
 * Our own limit for one client address, told in the standard `RateLimit` headers.
 *
 * @param name what the headers call it
 * @param perMinute 0 is off
 * @param sharedStore with which other processes count too
 * @param turnedAway called for each request that it refuses
 */
export function limitByAddress(
  name: string,
  perMinute: number,
  sharedStore: SharedStore | null = null,
  turnedAway: () => void = () => {},
): RequestHandler[] {
  if (perMinute === 0) return [];
  const limiter = rateLimit({
    windowMs: WINDOW_SECONDS * 1000,
    limit: perMinute,
    identifier: name,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    ...(sharedStore === null ? {} : { store: new SharedHits(sharedStore.counter(name)) }),
    // Its checks of what proxies say would go to the console, past our log, with what a client sent.
    validate: false,
    handler(_request, response, next) {
      turnedAway();
      const seconds = Number(response.getHeader('retry-after') ?? WINDOW_SECONDS);
      const message = `Too many requests from this address. Try again in ${seconds} seconds.`;
      next(new HttpError(429, 'rate_limited', message, { retryAfterSeconds: seconds }));
    },
  });
  return [limiter];
}
