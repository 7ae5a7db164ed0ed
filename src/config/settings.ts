import { z } from 'zod';
import { isPersonaId } from '../shared/key-text.ts';
import { chatTools } from './chat-tools.ts';
import { prices } from './prices.ts';
import {
  baseUrl,
  clientTokens,
  flag,
  jsonObject,
  masterKey,
  matching,
  modelAliases,
  modelLimits,
  modelName,
  modelNames,
  oneOf,
  origins,
  proxyHops,
  redisUrl,
  seconds,
  sessionOptions,
  token,
  webhookUrl,
  wholeNumber,
} from './setting-kinds.ts';

export type Settings = z.output<typeof SETTINGS>;

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const DAY = 86_400;
const WEEK = 7 * DAY;
const MAX_PER_MINUTE = 1_000_000;
const isPrefix = (text: string) => /^[\w.:{}-]{1,100}$/.test(text);
const PREFIX_FAULT = 'must be 1 to 100 letters, digits and the signs _ . : { } -';
const isLabel = (text: string) => /^[^\p{Cc}]{1,200}$/u.test(text);
const LABEL_FAULT = 'must be 1 to 200 characters in one line';
const isAddress = (text: string) => /^[A-Za-z0-9.:_%-]+$/.test(text);

/** Every setting but the keys, under the name of its variable, each with its default. */
export const SETTINGS = z.object({
  NODE_ENV: z.string().optional(),
  PORT: wholeNumber(0, 65_535).default(3000),
  HOST: matching(isAddress, 'must be an address to listen on, such as 0.0.0.0').default('0.0.0.0'),
  KEYS_DIR: z.string().optional(),
  GOOGLE_MODELS: modelNames.default(['gemini-flash-latest']),
  GOOGLE_EMBEDDING_MODELS: modelNames.default(['gemini-embedding-2']),
  MODEL_ALIASES: modelAliases.default(new Map()),
  GOOGLE_LIMITS: modelLimits.default(new Map()),
  GOOGLE_LIVE_MODEL: modelName.nullable().default(null),
  SYSTEM_PROMPT: z.string().nullable().default(null),
  CHAT_TOOLS: chatTools.default([]),
  CHAT_REASONING: flag.default(false),
  CHAT_GROUNDING: flag.default(false),
  ANAM_PERSONA_ID: matching(isPersonaId, 'is not the id of a persona').optional(),
  ANAM_PERSONA_CONFIG: jsonObject.optional(),
  ANAM_DIRECTOR_NOTES: jsonObject.nullable().default(null),
  ANAM_SESSION_OPTIONS: sessionOptions.nullable().default(null),
  ANAM_CLIENT_LABEL: matching(isLabel, LABEL_FAULT).nullable().default(null),
  ALLOW_CLIENT_PERSONA: flag.default(false),
  CHAT_RESUME: flag.default(false),
  GOOGLE_BASE_URL: baseUrl.default('https://generativelanguage.googleapis.com'),
  ANAM_BASE_URL: baseUrl.default('https://api.anam.ai'),
  KEY_COOLDOWN_SECONDS: seconds(WEEK).default(3_600_000),
  KEY_WAIT_SECONDS: seconds(DAY, 'or zero').default(5000),
  REQUEST_TIMEOUT_SECONDS: seconds(DAY).default(300_000),
  ATTEMPT_TIMEOUT_SECONDS: seconds(DAY).default(120_000),
  STREAM_IDLE_SECONDS: seconds(DAY).default(120_000),
  CORS_ORIGINS: origins.optional(),
  ADMIN_TOKEN: token.nullable().default(null),
  CLIENT_TOKENS: clientTokens.default([]),
  PRICES: prices.nullable().default(null),
  RATE_LIMIT_CHAT: wholeNumber(0, MAX_PER_MINUTE).default(30),
  RATE_LIMIT_SESSIONS: wholeNumber(0, MAX_PER_MINUTE).default(6),
  TRUST_PROXY: proxyHops.default(0),
  MAX_BODY_MB: wholeNumber(1, 100).default(20),
  MAX_BODIES_MB: wholeNumber(1, 100_000).optional(),
  REDIS_URL: redisUrl.nullable().default(null),
  REDIS_PREFIX: matching(isPrefix, PREFIX_FAULT).default('understudy:'),
  DATA_DIR: z.string().nullable().default(null),
  MASTER_KEY: masterKey.nullable().default(null),
  CHECK_KEYS: flag.default(false),
  OTEL_EXPORTER_OTLP_ENDPOINT: baseUrl.nullable().default(null),
  ALERT_WEBHOOK_URL: webhookUrl.nullable().default(null),
  ALERT_WEBHOOK_SECRET: token.nullable().default(null),
  ALERT_WEBHOOK_FORM: oneOf(['json', 'slack']).nullable().default(null),
  LOG_LEVEL: oneOf(LOG_LEVELS).default('info'),
});
