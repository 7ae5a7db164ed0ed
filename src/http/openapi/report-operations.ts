import { keysPage, overview } from '../../observability/reports.ts';
import { keysQuery } from '../admin/key-list.ts';
import { ADMIN_REFUSALS, ADMIN_SECURITY } from './admin-only.ts';
import { OURS } from './error-bodies.ts';
import { AVAILABLE_KEY, SPENT_KEY } from './key-examples.ts';
import type { Operation, Parameter } from './operation.ts';
import { OVERVIEW } from './overview-example.ts';
import { refusals } from './refusals.ts';

/** What is known of the keys and of the requests. */
export const reportOperations = (): Operation[] => [
  {
    method: 'get',
    path: '/api/keys',
    id: 'listKeys',
    tag: 'On call',
    summary: 'See how each key stands, and why',
    description:
      'In the order in which they are set, those of Google first. Times are ISO 8601 in UTC. No answer holds the text of a key.',
    security: ADMIN_SECURITY,
    parameters: queryParameters(),
    answers: [
      {
        status: 200,
        description: 'The keys that match, page by page.',
        headers: ['cache-control'],
        content: [
          {
            type: 'application/json',
            schema: keysPage,
            examples: {
              last: { value: { total: 2, keys: [AVAILABLE_KEY, SPENT_KEY], next: null } },
              more: { value: { total: 2, keys: [AVAILABLE_KEY], next: AVAILABLE_KEY.id } },
            },
          },
        ],
      },
      ...refusals([OURS], ['invalid_request', ...ADMIN_REFUSALS]),
    ],
  },
  {
    method: 'get',
    path: '/api/overview',
    id: 'getOverview',
    tag: 'On call',
    summary: 'See what becomes of the requests, and how many keys can be used',
    description:
      'Of this process, since its start; at most a second old. Times are ISO 8601 in UTC.',
    security: ADMIN_SECURITY,
    answers: [
      {
        status: 200,
        description: 'The last hour, and the latest requests.',
        headers: ['cache-control'],
        content: [
          { type: 'application/json', schema: overview, examples: { one: { value: OVERVIEW } } },
        ],
      },
      ...refusals([OURS], ADMIN_REFUSALS),
    ],
  },
];

function queryParameters(): Parameter[] {
  return Object.entries(keysQuery.shape).map(([name, schema]) => ({
    name,
    in: 'query',
    description: schema.meta()?.description ?? '',
    schema,
  }));
}
