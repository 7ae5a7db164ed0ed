import { z } from 'zod';
import { SERVICE_ERROR_CODES } from '../failover/service-error.ts';
import { OPERATIONS, OUTCOMES, REQUEST_ENDS } from '../failover/trace.ts';
import type { ScopeState } from '../pool/inspection.ts';
import { FAILURE_KINDS } from '../shared/failure.ts';
import { REDIS_STATES } from '../shared/shared-store.ts';

/** What the admin routes report, as it goes over the wire. The types derive from the schemas. */
export type KeyReport = z.output<typeof keyReport>;
export type Overview = z.output<typeof overview>;
export type KeysPage = z.output<typeof keysPage>;
export type RequestReport = z.output<typeof request>;

/** The reports keep the names that they had before the code's words changed. */
export const reportedEnd = (end: (typeof REQUEST_ENDS)[number]) =>
  end === 'internal_error' ? 'bug' : end;
export const reportedScope = (scope: ScopeState['scope']) =>
  scope === 'ejection' ? 'rest' : scope;

const count = z
  .int()
  .min(0)
  .meta({ examples: [1] });
/** Without a minimum: the clock may be set back in between. */
const milliseconds = z.int().meta({ examples: [430] });
const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time', examples: ['2026-11-24T18:20:00.000Z'] });
const text = z.string().min(1);
const keyId = text.meta({
  description: '`google-2` for `GOOGLE_API_KEY_2`, `google` for the one without a number.',
  examples: ['google-2'],
});
const service = z.string().meta({ examples: ['google'] });
const model = text.meta({ examples: ['gemini-flash-latest'] });
const failure = z.enum(FAILURE_KINDS);
const cause = z.enum([...FAILURE_KINDS, 'operator', 'paced']);
const origin = z.enum(['provider', 'rule', 'operator']);
const source = origin.meta({
  description:
    "Where the finding comes from: the provider's answer, a rule of this server, or a person.",
});
const untilBy = origin.meta({
  description:
    'Who sets the time: the provider, a rule of this server (the key is only tried again then), or a person.',
});
const unavailable = z.enum(['cooling_down', 'exhausted']);

const finding = z.strictObject({
  scope: z
    .enum([
      'key',
      'project',
      'billing',
      'operator',
      'project_model',
      'quota',
      'feature',
      'key_model',
      'rest',
    ])
    .meta({
      description:
        'What the finding is about: the key, its project, the billing account, an action of the operator, the quota of a model as the provider refused it or (`quota`) as it was counted, requests with some feature (`feature`), the use of a model by this key alone, or (`rest`) an ejection after failures.',
    }),
  model: model.nullable().meta({ description: 'Null: every model.' }),
  state: z.enum(['parked', 'half_open']).meta({
    description: '`half_open`: the time has passed, and one request probes the key.',
  }),
  cause,
  explanation: z.string(),
  source,
  since: time,
  until: time,
  untilBy,
});

const lastError = z.strictObject({
  at: time,
  kind: failure,
  model,
  message: z.string().meta({ description: "The provider's message, without any key." }),
  status: z.int().nullable().meta({ description: 'The HTTP status. Null: no answer.' }),
});

const lastAction = z.strictObject({
  action: z.enum(['release', 'park']),
  who: z.string().nullable(),
  why: z.string().nullable(),
  at: time,
});

export const keyReport = z
  .strictObject({
    id: keyId,
    fingerprint: z
      .string()
      .regex(/^[0-9a-f]{10}$/)
      .meta({
        description: 'Equal for equal keys, whatever their ids. It does not reveal the key.',
        examples: ['3f2a9c0b17'],
      }),
    service,
    project: z.string().meta({ description: 'Keys of one project share a quota.' }),
    model: model.meta({ description: 'The model that this report is about.' }),
    state: z.enum(['available', ...unavailable.options]).meta({
      description: '`cooling_down` comes back by itself, `exhausted` needs action.',
    }),
    cause: cause.nullable().meta({ description: 'Null: the key is available.' }),
    explanation: z
      .string()
      .nullable()
      .meta({ description: 'One sentence: why the key is not used, and when that ends.' }),
    source: source.nullable(),
    since: time.nullable(),
    until: time.nullable().meta({ description: 'When the key is tried again.' }),
    untilBy: untilBy.nullable(),
    scopes: z.array(finding).meta({ description: 'All findings, of every model.' }),
    inFlight: count.meta({ description: 'Calls that have not ended yet, of every model.' }),
    calls: count.meta({ description: 'Since the start, as are successes and failures.' }),
    successes: count,
    failures: z.partialRecord(failure, count.min(1)).meta({ description: 'By kind.' }),
    latency: z
      .strictObject({
        p50Ms: milliseconds,
        p95Ms: milliseconds,
        answers: count.min(1).meta({ description: 'The number of answers that this is about.' }),
      })
      .nullable()
      .meta({ description: 'Time to the first chunk of an answer, of the last five minutes.' }),
    lastError: lastError.nullable().meta({
      description: "The last failure that was neither the request's nor the caller's fault.",
    }),
    lastAction: lastAction
      .nullable()
      .meta({ description: 'What an operator last did to the key.' }),
    history: z
      .array(z.strictObject({ from: time, to: time, state: unavailable, cause }))
      .meta({ description: 'When the key was not available within the last hour, oldest first.' }),
  })
  .meta({ id: 'Key', description: 'A key and its state for one model. Times are in UTC.' });

export const keysPage = z
  .strictObject({
    total: count.meta({ description: 'The number of keys that match, on all pages.' }),
    keys: z.array(keyReport),
    next: keyId.nullable().meta({ description: 'The next `after`. Null: the last page.' }),
  })
  .meta({ id: 'KeysPage' });

const minute = z.strictObject({
  at: time.meta({ description: 'The start of the minute.' }),
  requests: count.meta({ description: 'Requests that ended within it; includes the next four.' }),
  answered: count,
  fallbacks: count.meta({
    description: 'Answered requests that needed another key or model than the first.',
  }),
  refused: count,
  brokenOff: count,
  turnedAway: count.meta({
    description: 'Refused by the limit for one address. `requests` does not include them.',
  }),
  overBudget: count.meta({
    description:
      'Refused because a client was over its budget or its share. `requests` does not include them.',
  }),
});

const attempt = z.strictObject({
  key: keyId,
  model,
  responseModel: model.nullable().meta({
    description:
      'The model that answered if it is not the one that was asked for. Null: it is, or it is unknown.',
  }),
  outcome: z.enum(OUTCOMES),
  message: z.string().nullable().meta({ description: 'What went wrong. Null: nothing.' }),
  isTrial: z.boolean().meta({ description: 'Whether it was the probe of a parked key.' }),
  isHedge: z.boolean().meta({ description: 'Whether it was started beside a slow attempt.' }),
  parkedUntil: time.nullable().meta({ description: 'Until when it parked a scope.' }),
  parkedFeatures: z.array(text).meta({
    description: 'What is special about the requests that it parked; empty where it parked all.',
  }),
  ms: milliseconds,
  firstMs: milliseconds.nullable().meta({
    description: 'Time to the first chunk of the answer. Null: none came.',
  }),
  tokens: count.nullable().meta({ description: 'Null: unknown.' }),
});

const request = z.strictObject({
  requestId: z.string(),
  service,
  operation: z.enum(OPERATIONS),
  at: time.meta({ description: 'Its end.' }),
  ms: milliseconds,
  waitedMs: milliseconds.meta({ description: 'Time in the wait queue.' }),
  end: z.enum(REQUEST_ENDS.map(reportedEnd)).meta({
    description:
      '`at_fault`: the provider refused the request itself. `broken_off`: the answer began and did not end. `bug`: a fault of this server.',
  }),
  code: z
    .enum(SERVICE_ERROR_CODES)
    .nullable()
    .meta({ description: 'Why it was refused. Null: it was not.' }),
  attemptsInAll: count,
  attempts: z.array(attempt).meta({ description: 'The last of them, oldest first.' }),
});

const modelReport = z.strictObject({
  model,
  embeds: z.boolean().meta({ description: 'Whether it makes embeddings, and answers no chats.' }),
  total: count.meta({ description: 'The sum of the next three.' }),
  available: count,
  cooling_down: count,
  exhausted: count,
  nextReturnAt: time.nullable().meta({
    description: 'When the first cooling key returns. Null: none is cooling down.',
  }),
  causes: z.partialRecord(cause, count.min(1)).meta({
    description: 'Why keys are not available, and how many for each cause.',
  }),
  nextReturnBy: untilBy.nullable(),
});

export const overview = z
  .strictObject({
    now: time,
    startedAt: time,
    mode: z.enum(['live', 'demo']).meta({ description: '`demo`: the providers are stand-ins.' }),
    redis: z.enum(REDIS_STATES).nullable().meta({
      description:
        'The connection to Redis. Null: none is set. `refusing`: Redis answers, but is full, a replica, or denies access.',
    }),
    unprovenKeys: z.array(keyId).meta({
      description: 'Keys that needed action, were released, and have not answered since.',
    }),
    services: z.array(
      z.strictObject({
        service,
        inFlight: count.meta({ description: 'Calls that have not ended yet.' }),
        models: z.array(modelReport).min(1).meta({ description: 'The first is the default.' }),
      }),
    ),
    minutes: z.array(minute).length(60).meta({
      description: 'The last hour, oldest first; the present minute is the last.',
    }),
    latest: z.array(request).meta({ description: 'The latest requests, newest first.' }),
  })
  .meta({ id: 'Overview', description: 'Of this process, since its start. Times are in UTC.' });
