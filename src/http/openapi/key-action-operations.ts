import { z } from 'zod';
import { keyReport } from '../../observability/reports.ts';
import { parkBody, releaseBody } from '../admin/admin-routes.ts';
import { ADMIN_REFUSALS, ADMIN_SECURITY } from './admin-only.ts';
import { OURS } from './error-bodies.ts';
import { AVAILABLE_KEY, PARKED_KEY } from './key-examples.ts';
import type { Answer, Operation, Parameter } from './operation.ts';
import { refusals } from './refusals.ts';

/** What may be done to a key. */
export const keyActionOperations = (): Operation[] => [
  {
    ...actOn('release'),
    id: 'releaseKey',
    summary: 'Let a key be used again',
    description:
      'At once, whatever was found about it; what was found about its project is forgotten for all keys of the project.',
    body: {
      schemas: [releaseBody],
      isRequired: false,
      examples: {
        named: { value: { by: 'Ana', reason: 'quota was raised' } },
        nameless: { value: {} },
      },
    },
    answers: [done('It may be used again.', AVAILABLE_KEY), ...refused()],
  },
  {
    ...actOn('park'),
    id: 'parkKey',
    summary: 'Take a key out of use',
    description:
      'Until its time has passed or somebody releases it. What it is answering goes on. Once more, the last word counts.',
    body: {
      schemas: [parkBody],
      isRequired: false,
      examples: {
        named: { value: { by: 'Ana', reason: 'bill is strange', seconds: 900 } },
        nameless: { value: {} },
      },
    },
    answers: [done('It is out of use.', PARKED_KEY), ...refused()],
  },
];

const keyAnswer = z.strictObject({ key: keyReport }).meta({
  title: 'KeyAnswer',
  description: "The key and its present state for its service's first model.",
});

const ID: Parameter = {
  name: 'id',
  in: 'path',
  description: 'Its id, as in `GET /api/keys`.',
  schema: z.string(),
  example: AVAILABLE_KEY.id,
};

function actOn(action: 'release' | 'park') {
  return {
    method: 'post',
    path: `/api/keys/{id}/${action}`,
    tag: 'On call',
    security: ADMIN_SECURITY,
    parameters: [ID],
  } as const;
}

function done(description: string, key: object): Answer {
  return {
    status: 200,
    description,
    headers: ['cache-control'],
    content: [
      { type: 'application/json', schema: keyAnswer, examples: { now: { value: { key } } } },
    ],
  };
}

function refused(): Answer[] {
  return refusals(
    [OURS],
    [
      'invalid_request',
      'other_origin',
      'key_unknown',
      'over_16_kb',
      'unsupported_media_type',
      ...ADMIN_REFUSALS,
    ],
  );
}
