import type { Caller, Sent } from './caller.ts';

/** One way of being refused. */
export interface Refusal {
  readonly why: string;
  readonly status: number;
  readonly sent?: Sent;
  readonly keys?: Record<string, string>;
  readonly fault?: Caller['faults'][number];
  /** How many times it is asked before, in the same way. */
  readonly after?: number;
}

const ANOTHER_TYPE = {
  why: 'another type',
  status: 415,
  sent: withHeader('content-type', 'text/plain'),
};
const ANOTHER_METHOD = { why: 'another method', status: 405, sent: { method: 'PUT' } };
const NO_KEY = { why: 'no key at all', status: 503, keys: {} };
const NO_TOKEN = {
  why: 'no token',
  status: 401,
  sent: { headers: { authorization: '', 'x-goog-api-key': '', cookie: '' } },
};
const UNKNOWN_MODEL = { why: 'an unknown model', status: 404, sent: { model: 'no-such-model' } };
const UNKNOWN_KEY = { why: 'an unknown key', status: 404, sent: { key: 'nobody' } };
const OTHER_ORIGIN = {
  why: "another origin's page",
  status: 401,
  sent: withHeader('sec-fetch-site', 'cross-site'),
};
const TO_LOGIN = ['text/html', 'text/plain, text/html'].map((accept) => ({
  why: `a browser that has not logged in (${accept})`,
  status: 303,
  sent: { headers: { cookie: '', accept } },
}));
const GARBLED = { why: 'garbled bytes', status: 400, sent: withHeader('content-encoding', 'gzip') };
const IN_ANY_BODY = [
  { why: 'too large a body', status: 413, sent: { body: JSON.stringify('x'.repeat(21_000_000)) } },
  { why: 'an unknown encoding', status: 415, sent: withHeader('content-encoding', 'no') },
];

/** Every way of refusing this caller that its route has. */
export function refusalsOf(caller: Caller): Refusal[] {
  const { path, key, limit, faultyQuery: query } = caller;
  return [
    ANOTHER_METHOD,
    ...(key === null ? [] : [NO_KEY]),
    ...(limit === undefined ? [] : [{ why: 'too many requests', status: 429, after: limit }]),
    ...(path.includes('{model}') ? [UNKNOWN_MODEL] : []),
    ...(path.includes('/keys/{id}') ? [UNKNOWN_KEY] : []),
    ...(query === undefined ? [] : [{ why: 'a faulty query', status: 400, sent: { query } }]),
    ...strangersOf(caller),
    ...bodiesOf(caller),
    ...faultsOf(caller),
  ];
}

/** Whoever may not, or not from there. */
function strangersOf({ headers, mints, logsIn, guess, ...caller }: Caller): Refusal[] {
  const hasToken = headers !== undefined || mints === true || logsIn === true;
  return [
    ...(hasToken ? [NO_TOKEN] : []),
    ...(guess === undefined ? [] : guesses(guess)),
    ...(caller.isOfOwnOrigin === true ? [OTHER_ORIGIN] : []),
    ...(caller.isSentToLogin === true ? TO_LOGIN : []),
  ];
}

/** Ten are told that they are wrong. */
const guesses = (sent: Sent): Refusal[] => [
  { why: 'a wrong token', status: 401, sent },
  { why: 'too many wrong tokens', status: 429, sent, after: 10 },
];

function bodiesOf({ body, isRaw, isUnpacked, faulty, ofUnknownModel }: Caller): Refusal[] {
  if (body === undefined) return [];
  return [
    ...IN_ANY_BODY,
    ...(isRaw === true ? [] : [ANOTHER_TYPE]),
    ...(isUnpacked === true ? [GARBLED] : []),
    ...withBody('a faulty body', 400, faulty),
    ...withBody('an unknown model', 404, ofUnknownModel),
  ];
}

const withBody = (why: string, status: number, body: unknown): Refusal[] =>
  body === undefined ? [] : [{ why, status, sent: { body: JSON.stringify(body) } }];

const faultsOf = ({ faults }: Caller): Refusal[] =>
  Object.entries(faults).map(([status, fault]) => ({
    why: fault.kind,
    status: Number(status),
    fault,
  }));

function withHeader(name: string, value: string): Sent {
  return { headers: { [name]: value } };
}
