import type { StandinKey } from '../standin-key.ts';

/** So many times faster than real, the providers' minutes pass. */
export const SPEED = 4;
export const MINUTE_SECONDS = 60 / SPEED;

/** Six keys of different fortunes. They are no secrets: only the stand-in knows them. */
export const DEMO_KEYS: readonly StandinKey[] = [
  { key: 'demo-minute', service: 'google', limits: { rpm: 3 } },
  { key: 'demo-day', service: 'google', limits: { rpd: 5 } },
  { key: 'demo-leaked', service: 'google', fault: { kind: 'leaked' } },
  { key: 'demo-steady', service: 'google', limits: { rpm: 12 } },
  { key: 'demo-avatar', service: 'anam', account: { slots: 1 } },
  { key: 'demo-avatar-spare', service: 'anam' },
];

/** For the OpenAI- and Gemini-compatible routes; no secret either. */
export const DEMO_CLIENT_TOKEN = 'demo-client-token';

/** Opens the dashboard. */
export const DEMO_ADMIN_TOKEN = 'demo-admin-token';

export const DEMO_ENVIRONMENT: Readonly<Record<string, string>> = {
  GOOGLE_API_KEY: 'demo-minute',
  GOOGLE_API_KEY_2: 'demo-day',
  GOOGLE_API_KEY_3: 'demo-leaked',
  GOOGLE_API_KEY_4: 'demo-steady',
  ANAM_API_KEY: 'demo-avatar',
  ANAM_API_KEY_2: 'demo-avatar-spare',
  ANAM_PERSONA_ID: 'demo-persona',
  ADMIN_TOKEN: DEMO_ADMIN_TOKEN,
  CLIENT_TOKENS: DEMO_CLIENT_TOKEN,
  KEY_COOLDOWN_SECONDS: '60',
  RATE_LIMIT_CHAT: '0',
  RATE_LIMIT_SESSIONS: '0',
  LOG_LEVEL: 'silent',
};
