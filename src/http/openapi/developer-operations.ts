import { z } from 'zod';
import { OURS } from './error-bodies.ts';
import type { Operation } from './operation.ts';
import { page } from './page-answers.ts';
import { refusals } from './refusals.ts';

export const developerOperations = (): Operation[] => [
  {
    method: 'get',
    path: '/openapi.json',
    id: 'getDocument',
    tag: 'Developers',
    summary: 'Read this document',
    answers: [
      {
        status: 200,
        description: 'What this very server can be asked, as its settings make it.',
        content: [
          {
            type: 'application/json',
            schema: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }),
            examples: { document: { value: { openapi: '3.1.1', paths: {} } } },
          },
        ],
      },
      ...refusals([OURS], ['method_not_allowed', 'internal_error']),
    ],
  },
  {
    method: 'get',
    path: '/docs',
    id: 'getDocs',
    tag: 'Developers',
    summary: 'Read this document as a page',
    answers: [
      ...page('A page on which every route can be tried.'),
      ...refusals([OURS], ['method_not_allowed', 'internal_error']),
    ],
  },
];
