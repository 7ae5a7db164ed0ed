import type { RequestHandler } from 'express';

/** Neither a credential nor a refusal of one is to be kept by anybody, nor what holds only now. */
export const forbidCaching: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};

/**
 * For every stream: no cache may keep it and no proxy may compress it. A proxy that compresses, such as
 * Next.js behind `rewrites`, would hold the words back until its buffer is full.
 */
export const STREAM_CACHING = 'no-cache, no-transform';
