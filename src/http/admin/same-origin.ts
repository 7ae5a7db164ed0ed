import type { Request } from 'express';

/**
 * Whether a browser sends this of its own accord for another origin's page: a cookie would go along.
 * Browsers say where a request comes from; who says nothing is no browser, and brings no cookie by itself
 * (https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site).
 */
export function isOfAnotherOrigin({ headers }: Request): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  return origin !== undefined && hostIn(origin) !== host;
}

const hostIn = (origin: string) => (URL.canParse(origin) ? new URL(origin).host : null);
