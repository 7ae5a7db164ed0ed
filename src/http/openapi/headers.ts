/** The headers of answers that a client may want to read. */
export const HEADERS = {
  'x-request-id': {
    description:
      "The request's id, which is in every log line about it; the caller's own if it sent one.",
    required: true,
    schema: { type: 'string', maxLength: 100 },
  },
  'retry-after': {
    description: 'Seconds until it makes sense to ask again.',
    required: false,
    schema: { type: 'integer', minimum: 1 },
  },
  'understudy-attempts': {
    description:
      'Which attempt has answered: more than 1 says that another key or model has stepped in, or one has come back.',
    required: true,
    schema: { type: 'integer', minimum: 1 },
  },
  'understudy-key': {
    description: 'The id of the key that has answered: only for whoever has logged in.',
    required: false,
    schema: { type: 'string' },
  },
  ratelimit: {
    description:
      'What is left of the limit for this address (`r`), and for how many seconds (`t`).',
    required: true,
    schema: { type: 'string' },
    example: '"chat"; r=29; t=60',
  },
  'ratelimit-policy': {
    description: 'The limit for this address (`q`), and its window in seconds (`w`).',
    required: true,
    schema: { type: 'string' },
    example: '"chat"; q=30; w=60; pk=:YjA1N2Q4ZmE2NzFk:',
  },
  allow: {
    description: 'The methods that this path has.',
    required: true,
    schema: { type: 'string' },
  },
  'www-authenticate': {
    description: 'How to show a token.',
    required: true,
    schema: { type: 'string', const: 'Bearer' },
  },
  'cache-control': {
    description: 'Nobody may keep it.',
    required: true,
    schema: { type: 'string', const: 'no-store' },
  },
  location: {
    description: 'Where to go instead.',
    required: true,
    schema: { type: 'string', format: 'uri-reference' },
  },
  'set-cookie': {
    description: "The session's cookie.",
    required: true,
    schema: { type: 'string' },
  },
} as const;

export type HeaderName = keyof typeof HEADERS;

/**
 * Tells of one header; what it is stands in the components.
 *
 * @param isSure whether the answer always has it, where the components say so
 */
export const toHeader = (name: HeaderName, isSure: boolean) => [
  name,
  isSure || !HEADERS[name].required
    ? { $ref: `#/components/headers/${name}` }
    : { ...HEADERS[name], required: false },
];

/** Who has answered. */
export const ANSWERED_BY = ['understudy-attempts', 'understudy-key'] as const;

/** What our own limit for one address says with every answer. */
export const LIMIT_HEADERS = ['ratelimit', 'ratelimit-policy'] as const;
