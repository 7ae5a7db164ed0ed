import type { Fault } from '../../standin/fault.ts';
import { ADMIN_TOKEN } from './scrape.ts';
import { type Setting, startApp } from './start-app.ts';

export const MODEL = 'gemini-flash-latest';
export const TWO_KEYS = { GOOGLE_API_KEY: 'text-of-one', GOOGLE_API_KEY_2: 'text-of-two' };

/** Labels of what belongs to Google, and of each chat. */
export const OF_GOOGLE = 'service="google"';
export const CHAT = [
  'gen_ai_operation_name="chat"',
  'gen_ai_provider_name="gcp.gemini"',
  `gen_ai_request_model="${MODEL}"`,
];

/** The whole server, its metrics on. */
export const startMetered = (environment: Record<string, string>, more: Partial<Setting> = {}) =>
  startApp({ environment: { ADMIN_TOKEN, ...environment }, ...more });

/** The first of two keys has this fault, the second none. */
export const startWithFault = (fault: Fault) =>
  startMetered(TWO_KEYS, {
    standin: { keys: [google('text-of-one', { fault }), google('text-of-two')] },
  });

export const google = (key: string, more = {}) => ({ key, service: 'google' as const, ...more });
