import { z } from 'zod';
import { SERVICE_ERROR_CODES } from '../failover/service-error.ts';
import { OPERATIONS, OUTCOMES, REQUEST_ENDS } from '../failover/trace.ts';
import type { ScopeState } from '../pool/inspection.ts';
import { KEY_CHANGES, KEY_ORIGINS, type KnownKey } from '../shared/api-key.ts';
import { type DurableStore, STORE_SETTINGS } from '../shared/durable-store.ts';
import { FAILURE_KINDS } from '../shared/failure.ts';
import { CHECK_VERDICTS } from '../shared/key-check.ts';
import { REDIS_STATES } from '../shared/shared-store.ts';

/** What the admin routes report, as it goes over the wire. The types derive from the schemas. */
export type KeyReport = z.output<typeof keyReport>;
export type Overview = z.output<typeof overview>;
export type KeysPage = z.output<typeof keysPage>;
export type UsageReport = z.output<typeof usageReport>;
export type RequestReport = z.output<typeof requestReport>;
export type FailureGroup = z.output<typeof failureGroup>;
export type History = z.output<typeof history>;
export type Situation = z.output<typeof situation>;
export type Verdict = z.output<typeof verdict>;

/** The reports keep the names that they had before the code's words changed. */
export const reportedEnd = (end: (typeof REQUEST_ENDS)[number]) =>
  end === 'internal_error' ? 'bug' : end;
export const reportedScope = (scope: ScopeState['scope']) =>
  scope === 'ejection' ? 'rest' : scope;

/** Of one history. */
export const MAX_POINTS = 360;

export const count = z
  .int()
  .min(0)
  .meta({ examples: [1] });

/** Without a minimum: the clock may be set back in between. */
const milliseconds = z.int().meta({ examples: [430] });
export const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time', examples: ['2026-11-24T18:20:00.000Z'] });
const text = z.string().min(1);
const instance = text.meta({
  description: 'The instance that handled it.',
  examples: ['3f2a9c0b'],
});
const silent = count.meta({
  description:
    'Instances that did not answer in time: their numbers are missing, or some seconds old.',
});

export const keyId = text.meta({
  description:
    '`google-2` for `GOOGLE_API_KEY_2`, `google` for the one without a number, `google-r1` for one that was added at run time.',
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
export const KEY_STATES = ['available', ...unavailable.options] as const;
/** The uses of a key that is not in the pool. */
export const UNUSED = ['paused', 'retired'] as const satisfies KnownKey['use'][];
export type Unused = (typeof UNUSED)[number];

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
  action: z.enum(['release', 'park', ...KEY_CHANGES]),
  who: z.string().nullable(),
  why: z.string().nullable(),
  at: time,
});

export const keyCheck = z
  .strictObject({
    verdict: z.enum(CHECK_VERDICTS).meta({
      description:
        '`works`: the provider accepts the key. `unreachable`: it gave no answer. `unknown`: its answer says nothing about the key.',
    }),
    sentence: text.meta({ description: 'The verdict in plain words, without any key.' }),
    at: time,
    ms: milliseconds,
  })
  .meta({ id: 'KeyCheck', description: 'The outcome of a check, which uses no quota.' });

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
    billing: z.string().nullable().meta({
      description: 'The billing account of its project. Null: none is named.',
    }),
    personaId: z.string().nullable().meta({ description: 'A saved persona of its own account.' }),
    origin: z.enum(KEY_ORIGINS).meta({
      description: 'Where the key comes from: a variable, a file, or the operator at run time.',
    }),
    model: model.meta({ description: 'The model that this report is about.' }),
    state: z.enum([...KEY_STATES, ...UNUSED]).meta({
      description:
        '`cooling_down` comes back by itself, `exhausted` needs action, `paused` and `retired` are out of use until an operator resumes them, and in no count.',
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
    lastCheck: keyCheck
      .nullable()
      .meta({ description: 'Null: this process has not checked the key.' }),
    history: z
      .array(z.strictObject({ from: time, to: time, state: unavailable, cause }))
      .meta({ description: 'When the key was not available within the last hour, oldest first.' }),
  })
  .meta({ id: 'Key', description: 'A key and its state for one model. Times are in UTC.' });

/** Whether what changes at run time outlives the process. */
export const keptWhere = {
  storage: z.enum(['redis', 'file', 'memory']).meta({
    description:
      'Where changes are kept: `memory` is without a store, and for keys also without `MASTER_KEY`.',
  }),
  lasts: z.boolean().meta({ description: 'False: changes last until the restart.' }),
};

export const placeOf = (storage: DurableStore['kind']) => ({
  storage,
  lasts: storage !== 'memory',
});

export const keysPage = z
  .strictObject({
    total: count.meta({ description: 'The number of keys that match, on all pages.' }),
    keys: z.array(keyReport),
    next: keyId.nullable().meta({ description: 'The next `after`. Null: the last page.' }),
    ...keptWhere,
    missingSettings: z.array(z.enum(STORE_SETTINGS)).meta({
      description:
        'What has to be set so that changes last: `MASTER_KEY`, and `REDIS_URL` or `DATA_DIR`. Empty: they do.',
    }),
    unreadable: z.array(keyId).meta({
      description:
        'Stored keys that this server cannot use, because another `MASTER_KEY` or a newer version has written them. They are kept as they are.',
    }),
  })
  .meta({ id: 'KeysPage' });

const firstWords = milliseconds.min(0).nullable().meta({
  description:
    'What 95 of 100 answers to chats did not exceed, from the request to the first words, at most a tenth off. Null: there were none.',
});

const period = z.strictObject({
  at: time.meta({ description: 'Its start.' }),
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
      'Refused because a client was over its budget or its share. `requests` beside it does not include them; that of `totals` does.',
  }),
  tokens: count.meta({ description: 'Input and output, of every call whose answer names them.' }),
  p95FirstMs: firstWords,
});

export const history = z
  .strictObject({
    stepSeconds: z
      .int()
      .min(60)
      .meta({ description: 'How long each point is: whole minutes.', examples: [240] }),
    points: z.array(period).max(MAX_POINTS).meta({ description: 'Oldest first, without gaps.' }),
    silentInstances: silent,
  })
  .meta({ id: 'History', description: 'Of every instance that answers. Times are in UTC.' });

const cost = z
  .number()
  .min(0)
  .nullable()
  .meta({
    description: 'By the prices of now. Null: there is no price.',
    examples: [0.42],
  });
const currency = z
  .string()
  .nullable()
  .meta({ description: 'Null without `PRICES`.', examples: ['USD'] });

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
  cost: cost.meta({
    description:
      'Of its tokens, and of the answered request, by the prices of now. Null: there is no price, or the tokens are unknown.',
  }),
});

export const requestReport = z.strictObject({
  requestId: z.string(),
  instance,
  client: z.string().nullable().meta({
    description: 'The name of the client. Null: it sent no token.',
  }),
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
  cost: cost.meta({ description: 'The sum of the attempts below. Null: none has a cost.' }),
  currency,
  attemptsInAll: count,
  attempts: z.array(attempt).meta({ description: 'The last of them, oldest first.' }),
});

const day = z.iso.date().meta({ examples: ['2026-11-24'] });

/** The counts of a row of the usage. */
export const USAGE_COUNTS = [
  'requests',
  'answered',
  'attempts',
  'failovers',
  'inputTokens',
  'outputTokens',
  'cachedTokens',
  'thoughtTokens',
] as const;

const usageNumbers = {
  requests: count.meta({
    description:
      'A request counts for the key and the model that answered, else for the last ones that were asked; the key is `none` where none was asked.',
  }),
  answered: count,
  attempts: count.meta({ description: 'Calls to the provider, each with one key.' }),
  failovers: count,
  inputTokens: count,
  outputTokens: count,
  cachedTokens: count.meta({ description: 'The part of the input that the provider had cached.' }),
  thoughtTokens: count.meta({ description: 'The part of the output that is thoughts.' }),
  cost,
};

/** In the order in which the rows are sorted. */
export const USAGE_DIMENSIONS = ['day', 'client', 'key', 'model'] as const;

export const usageReport = z
  .strictObject({
    from: day,
    to: day,
    by: z.array(z.enum(USAGE_DIMENSIONS)),
    currency,
    rows: z
      .array(
        z.strictObject({
          day: day.optional(),
          client: text.optional().meta({
            description: '`web`: requests without a client token.',
            examples: ['web'],
          }),
          key: keyId.optional(),
          model: model.optional().meta({
            description:
              'The name in the settings that was asked for, neither an alias nor the version that answered.',
          }),
          ...usageNumbers,
        }),
      )
      .meta({ description: 'Sorted by their names. Without any use there is no row.' }),
    totals: z.strictObject(usageNumbers),
    unpricedModels: z.array(model).meta({
      description: 'Their tokens are in no cost: `PRICES` does not name them.',
    }),
    isCut: z.boolean().meta({ description: 'Whether there are more rows; the totals are whole.' }),
  })
  .meta({ id: 'Usage', description: 'Of all instances. The days are those of UTC.' });

export const failureGroup = z.strictObject({
  code: z.enum(SERVICE_ERROR_CODES).nullable().meta({
    description: 'Why the requests were refused. Null: they were not; see `kind`.',
  }),
  kind: failure.nullable().meta({
    description: 'How the last attempt failed. Null: the requests were refused; see `code`.',
  }),
  service,
  model,
  sentence: text,
  count: count.min(1),
  since: time.meta({ description: 'The first of them.' }),
  last: time,
  clients: z.array(text).max(10).meta({
    description: 'The names of the clients, at most ten, the latest first; `web`: without a token.',
  }),
  requestIds: z.array(z.string()).max(5).meta({
    description: 'The latest of them, for `GET /api/requests/{id}`.',
  }),
});

export const instanceReport = z.strictObject({
  id: instance.meta({ description: 'Made up at its start.' }),
  isThis: z.boolean().meta({ description: 'Whether it is the one that answers here.' }),
  startedAt: time,
  redis: z.enum(REDIS_STATES).nullable(),
  inFlight: count,
  requests: count.meta({ description: 'Of the last hour, as is `answered`.' }),
  answered: count,
  memoryMb: count.meta({ description: 'Resident memory of the process.' }),
  lagMs: milliseconds.min(0).nullable().meta({
    description: 'p99 of the delay of the event loop, of the last seconds. Null: unknown.',
  }),
});

/**
 * What may be wrong, the gravest first. One that lasts is `kept` as an incident, and `announced` if it stops requests or
 * needs action.
 */
export const SITUATIONS = {
  no_keys: 'announced',
  wrong_models: 'announced',
  wrong_persona: 'announced',
  wrong_base_url: 'announced',
  region: 'announced',
  misconfigured: 'announced',
  network: 'announced',
  provider_down: 'announced',
  provider_slow: 'announced',
  keys_out: 'announced',
  internal_errors: 'kept',
  models_out: 'kept',
  key_needs_action: 'announced',
  unproven_keys: 'none',
  address_limit: 'kept',
  client_limit: 'kept',
  refusals: 'kept',
  store_down: 'announced',
  sharing_down: 'kept',
  other_model: 'kept',
  all_well: 'none',
} as const;
export const SITUATION_KINDS = Object.keys(SITUATIONS) as readonly (keyof typeof SITUATIONS)[];
const FAULTS = ['us', 'provider', 'caller', 'quota', 'key', 'network'] as const;

/** A situation or an incident names at most this many keys. */
export const MAX_NAMED_KEYS = 10;

export const situationFields = {
  kind: z.enum(SITUATION_KINDS),
  service: service
    .nullable()
    .meta({ description: 'Null: it is about all of them, or about none.' }),
  model: model.nullable(),
  client: text.nullable().meta({ description: 'The name of the client that it is about.' }),
  cause: text.meta({
    description:
      'What the keys or calls fail with, such as `quota_exhausted`; `mixed` for several.',
    examples: ['quota_exhausted'],
  }),
  sentence: text,
  fault: z.enum(FAULTS).nullable().meta({
    description: 'Who must act; `quota` ends by itself. Null: nothing is wrong.',
  }),
  keys: z
    .array(keyId)
    .max(MAX_NAMED_KEYS)
    .meta({ description: 'The keys in question: the first of them.' }),
  keysInAll: count,
  requestsAffected: count.meta({
    description: 'Requests that were refused, interrupted or turned away since then.',
  }),
};

const situation = z
  .strictObject({
    id: text.meta({ description: 'The same as long as it lasts.' }),
    ...situationFields,
    title: text.meta({
      description: 'The sentence without what holds only now, as the incident has it.',
    }),
    look: z.enum(['bad', 'wait', 'info']).meta({
      description:
        '`bad`: requests are refused. `wait`: something needs a look. `info`: nothing to do, or it is over.',
    }),
    since: time,
    until: time.nullable().meta({ description: 'When it really ends. Null: unknown.' }),
    untilText: z
      .string()
      .nullable()
      .meta({
        description: 'The same in words, or what ends it; reads on after "until".',
        examples: ['08:00 UTC, midnight Pacific'],
      }),
    remedy: z.string().meta({ description: 'What to do.' }),
    link: z.string().nullable().meta({
      description: "Where to do it: the provider's page, or a part of the dashboard.",
    }),
  })
  .meta({ id: 'Situation', description: 'Something that is wrong, or was a moment ago.' });

const verdict = z
  .strictObject({
    look: z.enum(['good', 'wait', 'bad']),
    situations: z.array(situation).min(1).meta({
      description: 'The gravest first. `all_well` where nothing is wrong.',
    }),
  })
  .meta({ id: 'Verdict', description: 'What is wrong now, as this instance sees it.' });

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
    verdict,
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
    totals: z
      .strictObject({
        minutes: z
          .literal(60)
          .meta({ description: 'What all but the numbers of today are about.' }),
        requests: count.meta({
          description: 'With those that the limit for one address or for a client refused.',
        }),
        answered: count,
        successPercent: z
          .number()
          .min(0)
          .max(100)
          .nullable()
          .meta({
            description:
              'Answered requests, of those that were answered, refused (also by our own limits) or broken off; 100 means all. Null: there were none.',
            examples: [99.8],
          }),
        p95FirstMs: firstWords,
        tokensToday: count.nullable().meta({
          description:
            'Since midnight UTC, at most half a minute old while the store answers, as is `costToday`. Null: nothing could be read yet.',
        }),
        costToday: cost,
        currency,
      })
      .meta({ description: 'Of the last hour.' }),
    failures: z.array(failureGroup).max(50).meta({
      description: 'Failed requests of the last hour, grouped; the latest first.',
    }),
    instances: z.array(instanceReport).min(1).meta({
      description: 'Those that share one Redis; this one first.',
    }),
    silentInstances: silent,
    minutes: z.array(period).length(60).meta({
      description: 'The last hour, oldest first; the present minute is the last.',
    }),
    latest: z.array(requestReport).meta({ description: 'The latest requests, newest first.' }),
  })
  .meta({
    id: 'Overview',
    description:
      'Numbers of requests, failures and calls in flight are sums of all instances. The state of the keys is what this instance knows. Times are in UTC.',
  });
