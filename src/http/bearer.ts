import type { IncomingMessage } from 'node:http';

/** @returns the token of an `Authorization: Bearer` header; null when there is none */
export const bearerIn = ({ headers }: Pick<IncomingMessage, 'headers'>): string | null =>
  BEARER.exec(headers.authorization ?? '')?.[1] ?? null;

const BEARER = /^Bearer +(\S{1,8192}) *$/i;
