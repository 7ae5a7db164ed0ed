import type { RequestHandler } from 'express';

/** Neither a credential nor a refusal of one is to be kept by anybody, nor what holds only now. */
export const forbidCaching: RequestHandler = (_request, response, next) => {
  response.setHeader('cache-control', 'no-store');
  next();
};
