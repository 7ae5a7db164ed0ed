import type { Request } from 'express';
import { HttpError } from '../http-error.ts';

/** @throws HttpError 401, or a page could act here in the name of whoever looks at it */
export function refuseOtherOrigins(request: Request): void {
  if (!isOfAnotherOrigin(request)) return;
  throw new HttpError(401, 'unauthorized', "Another origin's page may not do this.");
}

/**
 * Whether a browser sends this of its own accord for another origin's page: a cookie would go along.
 * Browsers say where a request comes from; who says nothing is no browser, and brings no cookie by itself
 * (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site).
 */
function isOfAnotherOrigin({ headers }: Request): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  return origin !== undefined && hostIn(origin) !== host;
}

const hostIn = (origin: string) => (URL.canParse(origin) ? new URL(origin).host : null);
