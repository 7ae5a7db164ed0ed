// @ts-check
/** @import { KeysPage, Overview } from '../../../observability/reports.ts' */

/** The login has ended. */
export class LoggedOut extends Error {}

/** The server rejects the query: after a restart it may have other keys or models. */
export class Refused extends Error {}

/** There is no such thing, or this server does not have the route. */
export class Missing extends Error {}

/** The server answers with an error. */
export class Fault extends Error {}

const TIMEOUT_MS = 8000;
/** A check asks the provider for each key. */
const CHANGE_TIMEOUT_MS = 60_000;

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function ask(path, options) {
  const response = await reach(path, { headers: { accept: 'application/json' }, ...options });
  if (response.status === 401) throw new LoggedOut('Your login has ended. Log in again.');
  const body = await response.json();
  if (response.ok) return body;
  const Kind = KINDS[response.status] ?? Fault;
  throw new Kind(sentenceOf(body.error));
}

/** @type {Record<number, new (message: string) => Error>} */
const KINDS = { 400: Refused, 404: Missing };

/** @param {{ message: string, details?: readonly { field: string, message: string }[] }} error */
const sentenceOf = ({ message, details = [] }) =>
  [message, ...details.map((detail) => `${detail.field}: ${detail.message}`)].join(' ');

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
 * @param {'POST' | 'PATCH' | 'DELETE'} method
 * @param {string} path
 * @param {object} [body]
 */
export const change = (method, path, body = {}) =>
  ask(path, {
    method,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS),
  });

/**
 * Something that is asked more rarely than the overview, and only while its section is on the screen.
 * Where the server has no such route it stays null; after another error the value before it stays.
 *
 * @template T
 * @param {{ path: () => string, everyMs: number, sections: readonly string[] }} options
 */
export function createFeed({ path, everyMs, sections }) {
  /** @type {T | null} */
  let value = null;
  let isAbsent = false;
  let dueAt = 0;
  let askedPath = '';
  return {
    get value() {
      return value;
    },
    /** Asks at the next poll. */
    expire() {
      dueAt = 0;
    },
    async refresh() {
      const wanted = path();
      const isDue = Date.now() >= dueAt || wanted !== askedPath;
      if (isAbsent || !isDue || !sections.some(isOnScreen)) return;
      askedPath = wanted;
      dueAt = Date.now() + everyMs;
      try {
        value = await ask(wanted);
      } catch (error) {
        if (error instanceof LoggedOut) throw error;
        isAbsent = error instanceof Missing;
      }
    },
  };
}

/**
 * A section that is not there yet counts too.
 *
 * @param {string} id
 */
function isOnScreen(id) {
  const place = document.getElementById(id)?.getBoundingClientRect();
  return place === undefined || (place.bottom > -NEAR && place.top < innerHeight + NEAR);
}

const NEAR = 300;

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
