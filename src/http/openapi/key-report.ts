import { z } from 'zod';
import type { KeyReport } from '../../observability/key-report.ts';
import type { KeysPage } from '../admin/list-keys.ts';
import { exactly } from './exact-schema.ts';
import {
  cause,
  count,
  failure,
  keyId,
  milliseconds,
  modelName,
  service,
  time,
  untilBy,
} from './report-fields.ts';

const source = z.enum(['provider', 'rule', 'operator']).meta({
  description: "Who says so: the provider's answer, a rule of this server, or a person.",
});
const unavailable = z.enum(['cooling_down', 'exhausted']);
const state = z.enum(['available', ...unavailable.options]).meta({
  description:
    'How it stands for this model. `cooling_down` comes back by itself, `exhausted` needs somebody to act.',
});

const finding = z.strictObject({
  scope: z.enum(['key', 'project', 'operator', 'project_model', 'key_model', 'rest']).meta({
    description:
      'What it is about: the key, its project, its use by order of a person, the quota of a model, the use of a model by this key alone, or a rest after failures.',
  }),
  model: modelName.nullable().meta({ description: 'Null: every model.' }),
  state: z.enum(['parked', 'half_open']).meta({
    description: '`half_open`: its time has passed, and one request is to find out.',
  }),
  cause,
  explanation: z.string(),
  source,
  since: time,
  until: time,
  untilBy,
});

const latency = z
  .strictObject({
    p50Ms: milliseconds,
    p95Ms: milliseconds,
    answers: count.min(1).meta({ description: 'Of so many answers.' }),
  })
  .meta({
    description: 'Milliseconds until the first piece of an answer, of the last five minutes.',
  });

const lastError = z
  .strictObject({
    at: time,
    kind: failure,
    model: modelName,
    message: z.string().meta({ description: "In the provider's words, without any key." }),
    status: z.int().nullable().meta({ description: 'The HTTP status. Null: no answer came.' }),
  })
  .meta({ description: "The last failure that was neither the request's nor the caller's." });

const lastAction = z
  .strictObject({
    action: z.enum(['release', 'park']),
    who: z.string().nullable(),
    why: z.string().nullable(),
    at: time,
  })
  .meta({ description: 'What a person last did to it.' });

const stretch = z.strictObject({ from: time, to: time, state: unavailable, cause });

const keyReport = exactly<KeyReport>()(
  z.strictObject({
    id: keyId,
    fingerprint: z
      .string()
      .regex(/^[0-9a-f]{10}$/)
      .meta({ description: 'The same for the same key, whatever its id. Tells nothing of it.' }),
    service,
    project: z.string().meta({ description: 'Keys of one project share a quota.' }),
    model: modelName.meta({ description: 'The one for which this is told.' }),
    state,
    cause: cause.nullable().meta({ description: 'Null: it is available.' }),
    explanation: z
      .string()
      .nullable()
      .meta({ description: 'Why it cannot be had and when that ends, in a sentence.' }),
    source: source.nullable(),
    since: time.nullable(),
    until: time.nullable().meta({ description: 'When it is tried again. ISO 8601 in UTC.' }),
    untilBy: untilBy.nullable(),
    scopes: z.array(finding).meta({ description: 'All that is found, of every model.' }),
    inFlight: count.meta({ description: 'Calls that have not ended yet, of every model.' }),
    calls: count.meta({ description: 'Since the start, as are successes and failures.' }),
    successes: count,
    failures: z.partialRecord(failure, count.min(1)).meta({ description: 'By their kind.' }),
    latency: latency.nullable(),
    lastError: lastError.nullable(),
    lastAction: lastAction.nullable(),
    history: z.array(stretch).meta({
      description: 'When it could not be had for this model within the last hour, oldest first.',
    }),
  }),
);

export const keysPage = exactly<KeysPage>()(
  z
    .strictObject({
      total: count.meta({ description: 'How many keys match, on all pages.' }),
      keys: z.array(keyReport),
      next: keyId.nullable().meta({ description: 'The next `after`. Null: the last page.' }),
    })
    .meta({ title: 'KeysPage' }),
);

export const keyAnswer = z.strictObject({ key: keyReport }).meta({
  title: 'KeyAnswer',
  description: "The key as it stands now, for its service's first model.",
});
