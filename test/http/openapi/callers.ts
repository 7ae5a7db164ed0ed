import { CLIENT_TOKEN, MODEL } from '../../support/programs.ts';
import { ADMIN_CALLERS } from './admin-callers.ts';
import type { Caller } from './caller.ts';

/** Requests a minute, as it is set in the tests. */
export const LIMIT = 5;

const TOKEN = { authorization: `Bearer ${CLIENT_TOKEN}` };
const GOOGLE_TOKEN = { 'x-goog-api-key': CLIENT_TOKEN };

const GOOGLE_FAULTS: Caller['faults'] = {
  502: { kind: 'internal' },
  503: { kind: 'day_spent' },
  504: { kind: 'hang' },
};

const said = (content: string) => [{ role: 'user', content }];
const parts = (text: string) => [{ role: 'user', parts: [{ type: 'text', text }] }];

const chat = (title: string, body: object, faulty: object) =>
  ({
    title,
    method: 'post' as const,
    path: '/api/chat',
    body,
    faulty,
    limit: LIMIT,
    key: 'g-one',
    faults: GOOGLE_FAULTS,
  }) satisfies Caller;

const ELSEWHERE = { model: 'no-such-model' };
const OURS = { message: 'Hi' };
const AI_SDKS = { messages: parts('Hi') };

const sessionToken = (path: string): Caller => ({
  title: 'a page',
  method: 'post',
  path,
  body: {},
  faulty: { personaConfig: {} },
  limit: LIMIT,
  key: 'a-one',
  faults: {
    404: { kind: 'persona_missing' },
    502: { kind: 'server_error' },
    503: { kind: 'bad_key' },
    504: { kind: 'hang' },
  },
});

const SESSION: Caller = {
  title: "the avatar's SDK",
  method: 'post',
  path: '/api/anam/v1/engine/session',
  mints: true,
  body: {},
  isRaw: true,
  isUnpacked: true,
  limit: LIMIT,
  key: 'a-one',
  faults: {
    404: { kind: 'not_entitled' },
    429: { kind: 'usage_limit' },
    502: { kind: 'server_error' },
    504: { kind: 'hang' },
  },
};

const METRICS: Caller = {
  title: "the avatar's SDK",
  method: 'post',
  path: '/api/anam/v1/metrics/client',
  body: {},
  isRaw: true,
  isUnpacked: true,
  limit: LIMIT * 20,
  key: 'a-one',
  faults: {},
};

const OPENAI: Caller = {
  title: 'an OpenAI client',
  method: 'post',
  path: '/v1/chat/completions',
  headers: TOKEN,
  // With something special, which a provider may refuse for its own sake.
  body: {
    model: MODEL,
    messages: said('Hi'),
    response_format: { type: 'json_schema', json_schema: { schema: {} } },
  },
  faulty: { model: MODEL, messages: [] },
  ofUnknownModel: { ...ELSEWHERE, messages: said('Hi') },
  key: 'g-one',
  faults: { ...GOOGLE_FAULTS, 429: { kind: 'exhausted_no_details' } },
};

const gemini = (path: string): Caller => ({
  title: 'a Gemini client',
  method: 'post',
  path,
  headers: GOOGLE_TOKEN,
  body: { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
  isRaw: true,
  key: 'g-one',
  faults: {
    400: { kind: 'request_fault' },
    502: { kind: 'internal' },
    503: { kind: 'bad_key' },
    504: { kind: 'hang' },
  },
});

const models = (path: string): Caller => ({
  title: 'a Gemini client',
  method: 'get',
  path,
  headers: GOOGLE_TOKEN,
  key: 'g-one',
  faults: { 502: { kind: 'internal' }, 503: { kind: 'bad_key' }, 504: { kind: 'hang' } },
});

const open = (path: string): Caller => ({
  title: 'anybody',
  method: 'get',
  path,
  key: null,
  faults: {},
});

const METHODS = ['generateContent', 'streamGenerateContent', 'countTokens'];

export const CALLERS: readonly Caller[] = [
  {
    ...chat('a page of ours', OURS, { message: '' }),
    ofUnknownModel: { ...OURS, ...ELSEWHERE },
  },
  {
    ...chat('the AI SDK', AI_SDKS, { messages: parts('') }),
    ofUnknownModel: { ...AI_SDKS, ...ELSEWHERE },
  },
  chat('the example of Anam', { messages: said('Hi') }, { messages: said('') }),
  {
    title: 'the AI SDK',
    method: 'get',
    path: '/api/chat/{id}/stream',
    key: null,
    faults: {},
  },
  sessionToken('/api/anam/session-token'),
  sessionToken('/api/session-token'),
  SESSION,
  METRICS,
  OPENAI,
  ...['v1beta', 'v1', 'v1alpha'].flatMap((version) => [
    ...METHODS.map((method) => gemini(`/${version}/models/{model}:${method}`)),
    models(`/${version}/models`),
    models(`/${version}/models/{model}`),
  ]),
  ...ADMIN_CALLERS,
  open('/api/keys/status'),
  open('/health'),
  open('/openapi.json'),
  open('/docs'),
];
