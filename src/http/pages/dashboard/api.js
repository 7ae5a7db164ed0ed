// @ts-check
/** @import { KeysPage, Overview } from '../../../observability/reports.ts' */

/** The login has ended. */
export class LoggedOut extends Error {}

/** The server rejects the query: after a restart it may have other keys or models. */
export class Refused extends Error {}

/** The server answers with an error. */
export class Fault extends Error {}

const TIMEOUT_MS = 8000;

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
    return await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch (cause) {
    throw new Error('The server does not answer.', { cause });
  }
}

/** @returns {Promise<Overview>} */
export const askOverview = () => ask('/api/overview');

/**
 * @param {Record<string, string>} query empty values are left out
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

const INTERVAL_MS = 2000;
const MAX_INTERVAL_MS = 10_000;

/**
 * Polls while the page is visible, one poll at a time: less often while the server does not answer, and
 * at once when the page becomes visible or the network returns.
 *
 * @param {() => Promise<void>} poll
 * @param {(error: unknown) => void} onError
 */
export function startPolling(poll, onError) {
  let failures = 0;
  let isPolling = false;
  /** Whether the present poll was started before the latest change. */
  let isStale = false;
  let timer = 0;

  async function pollNow() {
    clearTimeout(timer);
    if (isPolling) {
      isStale = true;
      return;
    }
    isPolling = true;
    isStale = false;
    try {
      await poll();
      failures = 0;
    } catch (error) {
      failures += 1;
      onError(error);
    }
    isPolling = false;
    if (isStale) void pollNow();
    else schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (document.hidden) return;
    const pause = Math.min(INTERVAL_MS * 1.5 ** Math.max(0, failures - 1), MAX_INTERVAL_MS);
    timer = window.setTimeout(pollNow, pause);
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) clearTimeout(timer);
    else void pollNow();
  });
  addEventListener('online', pollNow);
  void pollNow();
  return { pollNow };
}
