// @ts-check
/** @import { Overview } from '../../../observability/reports.ts' */
/** @import { KeysPage } from '../../../observability/reports.ts' */

/** The login has ended; nothing else will work either. */
export class LoggedOut extends Error {}

/** What it was asked for makes no sense to the server, which may have other keys or models by now. */
export class Refused extends Error {}

/** It answers, but with an error. */
export class Fault extends Error {}

const PATIENCE_MS = 8000;

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function ask(path, options) {
  const response = await reach(path, { headers: { accept: 'application/json' }, ...options });
  if (response.status === 401) throw new LoggedOut('Your login has ended. Log in again.');
  const body = await response.json();
  if (response.ok) return body;
  throw new (response.status === 400 ? Refused : Fault)(body.error.message);
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function reach(path, options) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (cause) {
    throw new Error('The server does not answer.', { cause });
  }
}

/** @returns {Promise<Overview>} */
export const askOverview = () => ask('/api/overview');

/**
 * @param {Record<string, string>} query without what is empty
 * @returns {Promise<KeysPage>}
 */
export function askKeys(query) {
  const filled = Object.entries(query).filter(([, value]) => value !== '');
  return ask(`/api/keys?${new URLSearchParams(filled)}`);
}

/**
 * @param {string} id
 * @param {'release' | 'park'} action
 * @param {object} body
 */
export const act = (id, action, body) =>
  ask(`/api/keys/${encodeURIComponent(id)}/${action}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
