import type { Express, RequestHandler } from 'express';
import { methodNotAllowed } from './errors.ts';

/** One way of asking for these paths; every other is refused by name. */
export function serve(
  app: Express,
  method: 'get' | 'post',
  paths: readonly (string | RegExp)[],
  ...handlers: RequestHandler[]
): void {
  const allowed = method === 'get' ? ['GET', 'HEAD'] : ['POST'];
  for (const path of paths) {
    app[method](path, ...handlers);
    app.all(path, methodNotAllowed(...allowed, 'OPTIONS'));
  }
}
